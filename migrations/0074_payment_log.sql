-- What a payment writes into the write-ahead log is what the server makes durable before the acquirer is answered.

-- The status is the last column. Of a new version of a row in the same page Postgres logs what differs between an equal
-- beginning and an equal end; the status in the middle moved what followed it, so that a payment logged the row from there
-- on, with the code in it. USING another column makes the server write the table again, in order and without gaps.
ALTER TABLE transactions ADD COLUMN status_now text;
ALTER TABLE transactions ALTER COLUMN status_now TYPE text USING status;
ALTER TABLE transactions DROP COLUMN status;
ALTER TABLE transactions RENAME COLUMN status_now TO status;
ALTER TABLE transactions
    ALTER COLUMN status SET NOT NULL,
    ADD CONSTRAINT transactions_status_known CHECK (status IN
        ('initiated', 'awaiting_payment', 'paid', 'failed', 'expired', 'reversed'));

-- Reconciliation: what a partner's file must have. It reads whole days, and payments are stored nearly in the order of their
-- time, so that a summary of each range of pages finds them and a payment adds nothing to it.
DROP INDEX payments_by_partner;
CREATE INDEX payments_by_time ON payments USING brin (paid_at);
