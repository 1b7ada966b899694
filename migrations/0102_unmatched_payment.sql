-- Money beyond 64 bits is kept as it was written: it is never booked, and never added up.
ALTER TABLE unmatched_payments
    ALTER COLUMN amount DROP NOT NULL,
    ADD COLUMN amount_text text,
    ADD COLUMN merchant_pan text,
    ADD COLUMN terminal_id text,
    ADD CONSTRAINT unmatched_payments_amount_is_said CHECK ((amount IS NULL) = (amount_text IS NOT NULL));
