-- Why nobody is told to pay yet; null when nothing holds it back. Derived from the merchant's standing and the payouts,
-- and stored nowhere.
CREATE FUNCTION hold_reason(status text, merchant_id uuid, is_account_unconfirmed boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $1 = 'pending' AND (SELECT m.status FROM merchants m WHERE m.id = $2) = 'suspended'
                THEN 'merchant_suspended'
                WHEN $3 THEN 'account_not_confirmed' END
$$;

CREATE FUNCTION hold_reason(payout payouts) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT hold_reason(payout.status, payout.merchant_id, payout.status = 'pending' AND payout.due_at IS NULL)
$$;

CREATE FUNCTION hold_reason(settlement settlements) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT hold_reason(settlement.status, settlement.merchant_id, EXISTS (
        SELECT 1 FROM payouts p WHERE p.settlement_id = settlement.id AND p.status = 'pending' AND p.due_at IS NULL))
$$;
