-- A code may ask for a tip besides its amount (EMVCo tags 55 to 57). Until it is paid, `amount` is what was asked without
-- the tip; from then on it is what was paid, and `tip` the part of it that was not asked for by amount.
ALTER TABLE transactions
    ADD COLUMN tip_mode text CONSTRAINT transactions_tip_mode_known CHECK (tip_mode IN ('free', 'fixed', 'percentage')),
    -- What the code asks for in all; with a free tip, the least.
    ADD COLUMN amount_due bigint CONSTRAINT transactions_amount_due_positive CHECK (amount_due > 0),
    ADD COLUMN tip bigint CONSTRAINT transactions_tip_is_a_part CHECK (tip >= 0 AND tip < amount),
    ADD CONSTRAINT transactions_tip_has_a_mode CHECK (tip_mode IS NOT NULL OR (amount_due IS NULL AND tip IS NULL)),
    ADD CONSTRAINT transactions_tip_mode_has_amount_due CHECK (tip_mode IS NULL OR amount_due IS NOT NULL);
