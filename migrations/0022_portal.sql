-- What a merchant's dashboard adds up, from the index alone.
CREATE INDEX transactions_paid_by_merchant ON transactions (merchant_id, paid_at)
    INCLUDE (outlet_id, amount, fee, net) WHERE status = 'paid';
