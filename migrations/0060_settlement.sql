-- A merchant's transactions that are paid out together. A settlement is its items, and they never change.
CREATE TABLE settlements (
    id                 uuid PRIMARY KEY,
    merchant_id        uuid NOT NULL CONSTRAINT settlements_merchant REFERENCES merchants (id),
    status             text NOT NULL CONSTRAINT settlements_status_known CHECK (status IN
                       ('pending', 'processing', 'paid', 'failed', 'returned')),
    -- The payout partner's reason for this status, or that there is no partner to instruct.
    status_reason      text,
    payout_mode        text NOT NULL CONSTRAINT settlements_payout_mode_known
                       CHECK (payout_mode IN ('merchant_direct', 'manual')),
    -- The merchant's account when the settlement was made; none for a manual one.
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
    updated_at         timestamptz NOT NULL,
    CONSTRAINT settlements_money_adds_up CHECK (gross - fee - refunds = net AND net > 0),
    CONSTRAINT settlements_direct_has_a_destination CHECK ((payout_mode = 'merchant_direct') = (destination IS NOT NULL))
);
CREATE INDEX settlements_newest ON settlements (created_at DESC, id DESC);
CREATE INDEX settlements_by_merchant ON settlements (merchant_id, created_at DESC, id DESC);
CREATE INDEX settlements_pending ON settlements (created_at) WHERE status = 'pending';

ALTER TABLE transactions ADD CONSTRAINT transactions_settlement FOREIGN KEY (settlement_id) REFERENCES settlements (id);

-- A sale is settled once, and so is its refund, also when runs race.
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

-- The daily run of each business day: one, whichever node begins it and however often it is resumed.
CREATE TABLE settlement_runs (
    business_day  date PRIMARY KEY,
    cutoff        timestamptz NOT NULL,
    node          text NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    settlements   bigint NOT NULL DEFAULT 0,
    skipped       bigint NOT NULL DEFAULT 0
);
