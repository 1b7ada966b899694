-- Double entry. All lines of one posting are inserted by one statement, and a trigger refuses a statement after which one
-- of its postings does not balance.
CREATE TABLE ledger_entries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    posting_id      uuid NOT NULL,
    kind            text NOT NULL,
    account         text NOT NULL CONSTRAINT ledger_entries_account_known
                    CHECK (account IN ('acquirer_held', 'merchant_payable', 'mdr', 'payout_in_transit')),
    merchant_id     uuid NOT NULL CONSTRAINT ledger_entries_merchant REFERENCES merchants (id),
    partner_id      text,
    transaction_id  uuid CONSTRAINT ledger_entries_transaction REFERENCES transactions (id),
    -- The settlement to whose part of the account a line belongs. What a merchant is owed without one can be claimed by the
    -- next run.
    settlement_id   uuid CONSTRAINT ledger_entries_settlement REFERENCES settlements (id),
    payout_id       uuid CONSTRAINT ledger_entries_payout REFERENCES payouts (id),
    debit           bigint NOT NULL,
    credit          bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT ledger_entries_one_side CHECK (debit >= 0 AND credit >= 0 AND (debit = 0) <> (credit = 0)),
    CONSTRAINT ledger_entries_once UNIQUE (transaction_id, kind, account)
);
CREATE INDEX ledger_entries_by_posting ON ledger_entries (posting_id);
CREATE INDEX ledger_entries_by_merchant ON ledger_entries (merchant_id, id DESC);
-- A payout is sent, paid, failed and returned once each, and a settlement claims once.
CREATE UNIQUE INDEX ledger_entries_payout_once ON ledger_entries (payout_id, kind, account) WHERE payout_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_entries_settlement_once ON ledger_entries (settlement_id) WHERE kind = 'settlement' AND settlement_id IS NOT NULL;
CREATE INDEX ledger_entries_by_settlement ON ledger_entries (settlement_id) WHERE settlement_id IS NOT NULL;
CREATE INDEX ledger_entries_newest ON ledger_entries (created_at DESC, id DESC);

CREATE FUNCTION ledger_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added GROUP BY posting_id HAVING sum(debit) <> sum(credit)) THEN
        RAISE EXCEPTION 'a posting does not balance' USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entries_balanced AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_balance();

CREATE FUNCTION ledger_entries_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger lines are never changed or deleted' USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_append_only';
END $$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_entries_never_change();
