-- Business time is never after the moment at which a payment was accepted: a partner's clock that is ahead must not keep
-- money out of the settlements.
UPDATE transactions SET paid_at = accepted_at WHERE paid_at > accepted_at;
ALTER TABLE transactions ADD CONSTRAINT transactions_paid_at_bounded CHECK (paid_at <= accepted_at);
UPDATE unmatched_payments SET paid_at = created_at WHERE paid_at > created_at;
ALTER TABLE unmatched_payments ADD CONSTRAINT unmatched_payments_paid_at_bounded CHECK (paid_at <= created_at);
