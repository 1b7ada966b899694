-- The code of one transaction, as an order that we placed with a partner and may query.
CREATE TABLE partner_orders (
    transaction_id  uuid PRIMARY KEY CONSTRAINT partner_orders_transaction REFERENCES transactions (id),
    partner_id      text NOT NULL,
    -- The partner's name for the order, when it gave one.
    reference_no    text,
    -- Until then, one process is calling the partner about it.
    leased_until    timestamptz,
    -- When the partner is to be queried; null when no further query is needed.
    query_at        timestamptz,
    queries         int NOT NULL DEFAULT 0
);
CREATE INDEX partner_orders_due ON partner_orders (query_at) WHERE query_at IS NOT NULL;
