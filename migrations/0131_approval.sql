-- What else one person proposes and another confirms: people, powerful tokens, unmatched money, merchants, free texts.
ALTER TABLE approvals DROP CONSTRAINT approvals_kind_known;
ALTER TABLE approvals ADD CONSTRAINT approvals_kind_known CHECK (kind IN
    ('fee_profile.create', 'fee_profile.version', 'merchant.patch', 'merchant.approve', 'settlement.mark_paid',
     'unmatched_payment.assign', 'user.create', 'user.patch', 'user.reset', 'token.create', 'command.create',
     'bulk_command.create'));
CREATE INDEX approvals_pending_of_maker ON approvals (requested_by) WHERE status = 'pending';
