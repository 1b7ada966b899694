-- The first payout to an account waits until two people have confirmed it.
ALTER TABLE approvals DROP CONSTRAINT approvals_kind_known;
ALTER TABLE approvals ADD CONSTRAINT approvals_kind_known CHECK (kind IN
    ('fee_profile.create', 'fee_profile.version', 'merchant.patch', 'merchant.approve', 'settlement.mark_paid',
     'unmatched_payment.assign', 'user.create', 'user.patch', 'user.reset', 'token.create', 'command.create',
     'bulk_command.create', 'payout.account'));
CREATE INDEX approvals_by_entity ON approvals (entity, kind);
CREATE INDEX payouts_by_merchant ON payouts (merchant_id, destination);
