-- What a payment adds to its transaction is a row of its own, written once. A payment then changes nothing of its
-- transaction but the status, and no index of transactions mentions the status, also not in a predicate: the new version
-- of the row stays in its page and no index gets an entry (a HOT update).
--
-- No foreign keys: every id comes from the transaction, whose row the same database transaction inserted or locked, and
-- neither transactions nor settlements are ever deleted. `platform ledger verify` compares both rows.
CREATE TABLE payments (
    transaction_id     uuid NOT NULL,
    -- As of the transaction, for sums, settlements and comparisons without a join.
    merchant_id        uuid NOT NULL,
    outlet_id          uuid NOT NULL,
    -- What changes afterwards: the settlement that claimed it, and when it was taken back.
    settlement_id      uuid,
    reversed_at        timestamptz,
    -- What was paid, tip included.
    amount             bigint NOT NULL CONSTRAINT payments_amount_positive CHECK (amount > 0),
    -- The part of it that is the tip.
    tip                bigint CONSTRAINT payments_tip_is_a_part CHECK (tip >= 0 AND tip < amount),
    fee                bigint NOT NULL,
    net                bigint NOT NULL,
    -- Business time. It is never after the moment of acceptance: otherwise a partner's clock that is ahead would keep money
    -- out of the settlements.
    paid_at            timestamptz NOT NULL,
    accepted_at        timestamptz NOT NULL,
    fee_version        int NOT NULL,
    late               boolean NOT NULL,
    fee_profile_id     text NOT NULL,
    partner_id         text NOT NULL,
    partner_reference  text NOT NULL,
    rrn                text,
    issuer             text,
    CONSTRAINT payments_money_adds_up CHECK (amount = fee + net AND fee >= 0 AND net >= 0),
    CONSTRAINT payments_paid_at_bounded CHECK (paid_at <= accepted_at)
);

INSERT INTO payments (transaction_id, merchant_id, outlet_id, settlement_id, reversed_at, amount, tip, fee, net, paid_at, accepted_at,
                      fee_version, late, fee_profile_id, partner_id, partner_reference, rrn, issuer)
SELECT id, merchant_id, outlet_id, settlement_id,
       CASE status WHEN 'reversed' THEN coalesce((SELECT max(at) FROM transaction_events e
                                                  WHERE e.transaction_id = t.id AND e.to_status = 'reversed'), accepted_at, paid_at) END,
       amount, tip, fee, net, paid_at, coalesce(accepted_at, paid_at), fee_version, late, fee_profile_id, partner_id,
       partner_reference, rrn, issuer
FROM transactions t WHERE status IN ('paid', 'reversed');

ALTER TABLE payments ADD CONSTRAINT payments_pkey PRIMARY KEY (transaction_id);
-- A partner's reference is one payment. Payments by reference, whichever partner it is of: callbacks, lists, reconciliation.
ALTER TABLE payments ADD CONSTRAINT payments_reference_unique UNIQUE (partner_reference, partner_id);
-- The sums of a merchant's dashboard, from the index alone.
CREATE INDEX payments_by_merchant ON payments (merchant_id, paid_at) INCLUDE (outlet_id, amount, fee) WHERE reversed_at IS NULL;
-- Settlement: sales that none has claimed, and refunds.
CREATE INDEX payments_unsettled ON payments (merchant_id, paid_at) WHERE settlement_id IS NULL;
CREATE INDEX payments_reversed ON payments (merchant_id, paid_at) WHERE reversed_at IS NOT NULL;
-- Reconciliation: what a partner's file must have. Not the partner first: in a new database, without statistics, Postgres
-- could take this index for a partner's reference too, and read all payments of the partner.
CREATE INDEX payments_by_partner ON payments (paid_at, partner_id);

-- What is settled was paid. The settlement has locked the payment, and must not wait for a transaction that a reversal has
-- locked and that waits for the payment.
ALTER TABLE settlement_items DROP CONSTRAINT settlement_items_transaction,
    ADD CONSTRAINT settlement_items_payment FOREIGN KEY (transaction_id) REFERENCES payments (transaction_id);

-- Codes that still wait for a payment: what expires is found here, by the key. A code is written when it is made, and
-- deleted by what ends it, under the lock of its transaction.
CREATE TABLE open_codes (
    expires_at      timestamptz NOT NULL,
    transaction_id  uuid NOT NULL,
    PRIMARY KEY (expires_at, transaction_id)
);
INSERT INTO open_codes (expires_at, transaction_id)
SELECT expires_at, id FROM transactions WHERE status IN ('initiated', 'awaiting_payment') AND expires_at IS NOT NULL;

-- Their indexes and constraints go with the columns.
ALTER TABLE transactions
    DROP COLUMN tip, DROP COLUMN late, DROP COLUMN fee, DROP COLUMN net, DROP COLUMN fee_profile_id, DROP COLUMN fee_version,
    DROP COLUMN partner_reference, DROP COLUMN rrn, DROP COLUMN issuer, DROP COLUMN paid_at, DROP COLUMN accepted_at,
    DROP COLUMN settlement_id,
    ADD CONSTRAINT transactions_amount_due_has_a_mode CHECK (tip_mode IS NOT NULL OR amount_due IS NULL),
    -- The payment of a printed code inserts a transaction: its ids come from the terminal that it has read, and merchants,
    -- outlets and terminals are never deleted.
    DROP CONSTRAINT transactions_merchant, DROP CONSTRAINT transactions_outlet, DROP CONSTRAINT transactions_terminal,
    DROP CONSTRAINT transactions_device_request_unique;
DROP INDEX transactions_awaiting, transactions_initiated;
-- From here on the amount of a transaction is what was requested, without a tip, also when it is paid.
UPDATE transactions t SET amount = p.amount - p.tip FROM payments p WHERE p.transaction_id = t.id AND p.tip > 0;
-- Space in each page for new versions of its rows, also when one commit changes several of them: of codes that were made one
-- after the other and paid 16 in a commit, 28 % were updated within their page with 100, 86 % with 65, 100 % with 50; paid in
-- any order, 81 %, 99 % and 100 %.
ALTER TABLE transactions SET (fillfactor = 65);
-- A box's request by its own id. A payment of a printed code has none.
CREATE UNIQUE INDEX transactions_device_request_unique ON transactions (device_id, request_id) WHERE request_id IS NOT NULL;

-- The history of a transaction, from the key alone. No foreign key: an event is written by the statement that inserts or
-- changes its transaction.
ALTER TABLE transaction_events DROP CONSTRAINT transaction_events_transaction, DROP CONSTRAINT transaction_events_pkey;
DROP INDEX transaction_events_by_transaction;
ALTER TABLE transaction_events ADD CONSTRAINT transaction_events_pkey PRIMARY KEY (transaction_id, id);
