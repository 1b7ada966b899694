-- Double entry. All lines of one posting are inserted by one statement, and the trigger refuses a
-- statement after which any of its postings does not balance.
CREATE TABLE ledger_entries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    posting_id      uuid NOT NULL,
    kind            text NOT NULL,
    account         text NOT NULL CONSTRAINT ledger_entries_account_known
                    CHECK (account IN ('acquirer_held', 'merchant_payable', 'mdr', 'payout_in_transit')),
    merchant_id     uuid NOT NULL CONSTRAINT ledger_entries_merchant REFERENCES merchants (id),
    partner_id      text,
    transaction_id  uuid CONSTRAINT ledger_entries_transaction REFERENCES transactions (id),
    debit           bigint NOT NULL,
    credit          bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT ledger_entries_one_side CHECK (debit >= 0 AND credit >= 0 AND (debit = 0) <> (credit = 0)),
    CONSTRAINT ledger_entries_once UNIQUE (transaction_id, kind, account)
);
CREATE INDEX ledger_entries_by_posting ON ledger_entries (posting_id);
CREATE INDEX ledger_entries_by_merchant ON ledger_entries (merchant_id, id DESC);

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
