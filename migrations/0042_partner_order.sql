-- What we asked a partner for and may ask about: the code of one transaction.
CREATE TABLE partner_orders (
    transaction_id  uuid PRIMARY KEY CONSTRAINT partner_orders_transaction REFERENCES transactions (id),
    partner_id      text NOT NULL,
    -- The partner's name for the order, when it gave one.
    reference_no    text,
    -- Somebody is talking with the partner about it until then.
    leased_until    timestamptz,
    -- When the partner is to be asked what became of it; null when there is nothing more to ask.
    query_at        timestamptz,
    queries         int NOT NULL DEFAULT 0
);
CREATE INDEX partner_orders_due ON partner_orders (query_at) WHERE query_at IS NOT NULL;

-- A code that a partner never gave runs out like any other.
CREATE INDEX transactions_initiated ON transactions (expires_at) WHERE status = 'initiated';
