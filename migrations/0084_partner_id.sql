-- An acquirer's own names of merchants, outlets and terminals, by which it tells whose a payment of a printed code is. The
-- merchant PAN and the NMID, which it may use as well, are in `merchants` already. A merchant is registered with one QR
-- partner, so that one name each is enough.
ALTER TABLE merchants ADD COLUMN partner_merchant_id text;
ALTER TABLE outlets ADD COLUMN partner_store_id text;
ALTER TABLE terminals ADD COLUMN partner_terminal_id text;
ALTER TABLE merchants ADD CONSTRAINT merchants_partner_merchant_id_form
    CHECK (partner_merchant_id <> '' AND partner_merchant_id = btrim(partner_merchant_id));
ALTER TABLE outlets ADD CONSTRAINT outlets_partner_store_id_form
    CHECK (partner_store_id <> '' AND partner_store_id = btrim(partner_store_id));
ALTER TABLE terminals ADD CONSTRAINT terminals_partner_terminal_id_form
    CHECK (partner_terminal_id <> '' AND partner_terminal_id = btrim(partner_terminal_id));

-- `payee::of_partner_merchant_id`. Such a name decides who is paid: a partner has it for one merchant.
CREATE UNIQUE INDEX merchants_partner_merchant_id_unique ON merchants (qris_partner_id, partner_merchant_id)
    WHERE partner_merchant_id IS NOT NULL;
-- `payee::of_partner_store_id` reads by the first column: messages that name a store and no merchant.
-- `terminal::static_ones` reads by both.
CREATE UNIQUE INDEX outlets_partner_store_id_unique ON outlets (partner_store_id, merchant_id)
    WHERE partner_store_id IS NOT NULL;
-- `terminal::named` reads by the first two columns. Partners number the terminals of each store from one.
CREATE UNIQUE INDEX terminals_partner_terminal_id_unique ON terminals (merchant_id, partner_terminal_id, outlet_id)
    WHERE partner_terminal_id IS NOT NULL;
-- `terminal::named`: a label in another case.
CREATE INDEX terminals_by_label ON terminals (merchant_id, lower(terminal_label));

ALTER TABLE unmatched_payments
    -- What the partner named besides.
    ADD COLUMN partner_merchant_id text,
    ADD COLUMN partner_store_id text,
    -- What was looked for, by which names, and what was found: an array of `domain::attribution::Attempt`.
    ADD COLUMN tried jsonb NOT NULL DEFAULT '[]'
        CONSTRAINT unmatched_payments_tried_is_a_list CHECK (jsonb_typeof(tried) = 'array'),
    -- Which names its assignment taught: an array of `domain::attribution::Lesson`; null unless that was asked for.
    ADD COLUMN remembered jsonb
        CONSTRAINT unmatched_payments_remembered_is_a_list CHECK (jsonb_typeof(remembered) = 'array');
