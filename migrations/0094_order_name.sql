-- How an order is named to its partner. Some partners take fewer characters than `tx_` and 32 hex digits; the name is then
-- a shorter one, and the order is asked about and taken back under the name under which it was placed, also after the
-- partner's dialect has changed.
ALTER TABLE partner_orders
    ADD COLUMN order_name text,
    -- The X-EXTERNAL-ID of the request for the code: some partners want it again when they are asked about the order.
    ADD COLUMN external_id text;
UPDATE partner_orders SET order_name = 'tx_' || replace(transaction_id::text, '-', '');
ALTER TABLE partner_orders ALTER COLUMN order_name SET NOT NULL,
    ADD CONSTRAINT partner_orders_order_name_form CHECK (length(order_name) BETWEEN 12 AND 35);
-- `partner_order::named`: a message of the partner finds its order by a name that does not contain the transaction's id.
-- Unique, because the name decides which transaction is paid.
CREATE UNIQUE INDEX partner_orders_order_name_unique ON partner_orders (partner_id, order_name);
