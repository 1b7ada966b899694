-- A posting is one row: an amount for each account, debits positive, credits negative, 0 where it does not touch the
-- account. The row balances by a CHECK, so no trigger adds up its lines.
--
-- No foreign keys. Merchants, transactions, settlements and payouts are never deleted, and the database transaction that
-- posts has inserted or locked the row; a check of each key would only lock it again. `platform ledger verify`
-- reports a posting whose merchant, transaction, settlement or payout does not exist.
ALTER TABLE ledger_entries RENAME TO former_ledger_entries;

CREATE TABLE postings (
    id                 bigint GENERATED ALWAYS AS IDENTITY,
    posting_id         uuid NOT NULL,
    kind               text NOT NULL,
    merchant_id        uuid NOT NULL,
    partner_id         text,
    transaction_id     uuid,
    settlement_id      uuid,
    payout_id          uuid,
    acquirer_held      bigint NOT NULL DEFAULT 0,
    -- `merchant_payable` in two parts: what the next settlement can claim, and what the settlement of this posting owes.
    payable_open       bigint NOT NULL DEFAULT 0,
    payable_claimed    bigint NOT NULL DEFAULT 0,
    mdr                bigint NOT NULL DEFAULT 0,
    payout_in_transit  bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL,
    -- The list of all postings, newest first, reads it backwards. The identity makes `id` unique without an index of its own.
    CONSTRAINT postings_pkey PRIMARY KEY (created_at, id),
    CONSTRAINT postings_balanced CHECK (acquirer_held + payable_open + payable_claimed + mdr + payout_in_transit = 0),
    CONSTRAINT postings_claimed_by_a_settlement CHECK (payable_claimed = 0 OR settlement_id IS NOT NULL)
);

-- Existing lines. A posting has the number of its first line, so that the order stays; lines get other ids, once.
INSERT INTO postings (id, posting_id, kind, merchant_id, partner_id, transaction_id, settlement_id, payout_id, acquirer_held,
    payable_open, payable_claimed, mdr, payout_in_transit, created_at)
OVERRIDING SYSTEM VALUE
SELECT min(id), posting_id, kind, merchant_id, partner_id, transaction_id,
       (array_agg(settlement_id) FILTER (WHERE settlement_id IS NOT NULL))[1], payout_id,
       coalesce(sum(debit - credit) FILTER (WHERE account = 'acquirer_held'), 0),
       coalesce(sum(debit - credit) FILTER (WHERE account = 'merchant_payable' AND settlement_id IS NULL), 0),
       coalesce(sum(debit - credit) FILTER (WHERE account = 'merchant_payable' AND settlement_id IS NOT NULL), 0),
       coalesce(sum(debit - credit) FILTER (WHERE account = 'mdr'), 0),
       coalesce(sum(debit - credit) FILTER (WHERE account = 'payout_in_transit'), 0),
       created_at
FROM former_ledger_entries
GROUP BY posting_id, kind, merchant_id, partner_id, transaction_id, payout_id, created_at
ORDER BY min(id);
SELECT setval(pg_get_serial_sequence('postings', 'id'), coalesce(max(id), 0) + 1, false) FROM postings;

-- A payment is booked once as a sale and once as a refund. Also the list of the lines of a transaction.
CREATE UNIQUE INDEX postings_once ON postings (transaction_id, kind) WHERE transaction_id IS NOT NULL;
-- A payout is sent, paid, failed and returned once each. Also the list of the lines of a payout.
CREATE UNIQUE INDEX postings_payout_once ON postings (payout_id, kind) WHERE payout_id IS NOT NULL;
-- A settlement claims once.
CREATE UNIQUE INDEX postings_settlement_once ON postings (settlement_id) WHERE kind = 'settlement';
-- The list of the lines of a settlement's postings.
CREATE INDEX postings_by_settlement ON postings (settlement_id) WHERE settlement_id IS NOT NULL;
-- The list of a merchant's lines, newest first, and a merchant's trial balance.
CREATE INDEX postings_by_merchant ON postings (merchant_id, created_at DESC);

CREATE FUNCTION postings_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'postings are never changed or deleted' USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_append_only';
END $$;
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE ON postings
    FOR EACH ROW EXECUTE FUNCTION postings_never_change();

-- The lines of the postings. The id of a line is that of its posting and one more digit for account and side, debits first:
-- the order of (created_at, id) is that of the primary key of `postings`, within equal times by a sort.
CREATE VIEW ledger_entries AS
    SELECT p.id * 10 + l.place + CASE WHEN l.amount < 0 THEN 5 ELSE 0 END AS id, p.posting_id, p.kind, l.account,
           p.merchant_id, p.partner_id, p.transaction_id,
           -- The settlement to whose part of the account the line belongs.
           CASE WHEN l.of_settlement THEN p.settlement_id END AS settlement_id, p.payout_id,
           greatest(l.amount, 0) AS debit, greatest(-l.amount, 0) AS credit, p.created_at,
           -- The settlement that the whole posting is about.
           p.settlement_id AS posting_settlement_id
    FROM postings p
    CROSS JOIN LATERAL (VALUES
        (0, 'acquirer_held', p.acquirer_held, true),
        (1, 'merchant_payable', p.payable_open, false),
        (2, 'merchant_payable', p.payable_claimed, true),
        (3, 'mdr', p.mdr, true),
        (4, 'payout_in_transit', p.payout_in_transit, true)) l (place, account, amount, of_settlement)
    WHERE l.amount <> 0;

-- The view has each line that the table had, and no other.
DO $$ BEGIN
    IF (SELECT count(*) FROM former_ledger_entries) <> (SELECT count(*) FROM ledger_entries) OR EXISTS (
        SELECT posting_id, kind, account, merchant_id, partner_id, transaction_id, settlement_id, payout_id, debit, credit, created_at
        FROM former_ledger_entries
        EXCEPT
        SELECT posting_id, kind, account, merchant_id, partner_id, transaction_id, settlement_id, payout_id, debit, credit, created_at
        FROM ledger_entries) THEN
        RAISE EXCEPTION 'the postings have other lines than the ledger had';
    END IF;
END $$;
DROP TABLE former_ledger_entries;
DROP FUNCTION ledger_entries_balance();
DROP FUNCTION ledger_entries_never_change();
