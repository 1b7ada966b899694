-- Changes of money that one person proposes and another confirms.
CREATE TABLE approvals (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CONSTRAINT approvals_kind_known CHECK (kind IN
                    ('fee_profile.create', 'fee_profile.version', 'merchant.patch', 'settlement.mark_paid')),
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
    -- The rule itself, below all code: nobody confirms what they proposed. Taking it back is theirs to do.
    CONSTRAINT approvals_two_people CHECK (status <> 'approved' OR decided_by <> requested_by)
);
CREATE INDEX approvals_newest ON approvals (created_at DESC, id DESC);

-- Who confirmed a version; null when one person's word was enough.
ALTER TABLE fee_profile_versions ADD COLUMN approved_by text;
