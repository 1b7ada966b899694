-- Changes that one person proposes and another confirms: of money, people, powerful tokens, merchants, free texts. The
-- first payout to an account waits for one, too.
CREATE TABLE approvals (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CONSTRAINT approvals_kind_known CHECK (kind IN
                    ('fee_profile.create', 'fee_profile.version', 'merchant.patch', 'merchant.approve', 'settlement.mark_paid',
                     'unmatched_payment.assign', 'user.create', 'user.patch', 'user.reset', 'token.create', 'command.create',
                     'bulk_command.create', 'payout.account')),
    -- What it is about: a fee profile, a merchant, a settlement.
    entity          text NOT NULL,
    request         jsonb NOT NULL,
    status          text NOT NULL CONSTRAINT approvals_status_known CHECK (status IN ('pending', 'approved', 'rejected')),
    requested_by    text NOT NULL,
    created_at      timestamptz NOT NULL,
    decided_by      text,
    decided_at      timestamptz,
    reason          text,
    CONSTRAINT approvals_decided_is_complete CHECK ((status = 'pending') = (decided_by IS NULL) AND
        (decided_by IS NULL) = (decided_at IS NULL)),
    -- The rule itself, below all code: a person cannot confirm their own proposal. They may withdraw it.
    CONSTRAINT approvals_two_people CHECK (status <> 'approved' OR decided_by <> requested_by)
);
CREATE INDEX approvals_newest ON approvals (created_at DESC, id DESC);
CREATE INDEX approvals_pending_of_maker ON approvals (requested_by) WHERE status = 'pending';
CREATE INDEX approvals_by_entity ON approvals (entity, kind);
