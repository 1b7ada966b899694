-- Batches of transactions that are paid out together. A settlement is its items, and they never change.
CREATE TABLE settlements (
    id                 uuid PRIMARY KEY,
    merchant_id        uuid NOT NULL CONSTRAINT settlements_merchant REFERENCES merchants (id),
    status             text NOT NULL CONSTRAINT settlements_status_known CHECK (status IN
                       ('pending', 'processing', 'paid', 'failed', 'returned')),
    payout_mode        text NOT NULL CONSTRAINT settlements_payout_mode_known
                       CHECK (payout_mode IN ('merchant_direct', 'manual')),
    -- The account that the merchant named when the settlement was made; none for a manual one.
    destination        text,
    cutoff             timestamptz NOT NULL,
    gross              bigint NOT NULL,
    fee                bigint NOT NULL,
    refunds            bigint NOT NULL,
    net                bigint NOT NULL,
    transaction_count  bigint NOT NULL,
    bank_reference     text,
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL,
    CONSTRAINT settlements_money_adds_up CHECK (gross - fee - refunds = net AND net > 0),
    CONSTRAINT settlements_direct_has_a_destination CHECK ((payout_mode = 'merchant_direct') = (destination IS NOT NULL))
);
CREATE INDEX settlements_newest ON settlements (created_at DESC, id DESC);
CREATE INDEX settlements_by_merchant ON settlements (merchant_id, created_at DESC, id DESC);

-- A sale is settled once, and so is its refund, whatever races.
CREATE TABLE settlement_items (
    transaction_id  uuid NOT NULL CONSTRAINT settlement_items_transaction REFERENCES transactions (id),
    kind            text NOT NULL CONSTRAINT settlement_items_kind_known CHECK (kind IN ('sale', 'refund')),
    settlement_id   uuid NOT NULL CONSTRAINT settlement_items_settlement REFERENCES settlements (id),
    amount          bigint NOT NULL,
    fee             bigint NOT NULL,
    net             bigint NOT NULL,
    CONSTRAINT settlement_items_once PRIMARY KEY (transaction_id, kind),
    CONSTRAINT settlement_items_money_adds_up CHECK (amount = fee + net)
);
CREATE INDEX settlement_items_by_settlement ON settlement_items (settlement_id);

ALTER TABLE transactions ADD CONSTRAINT transactions_settlement FOREIGN KEY (settlement_id) REFERENCES settlements (id);
CREATE INDEX transactions_unsettled ON transactions (merchant_id, paid_at)
    WHERE settlement_id IS NULL AND status IN ('paid', 'reversed');
CREATE INDEX transactions_reversed ON transactions (merchant_id, paid_at) WHERE status = 'reversed';
