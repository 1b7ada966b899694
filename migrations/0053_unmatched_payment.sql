-- Money that arrived and could not be attributed: never dropped.
CREATE TABLE unmatched_payments (
    id                 uuid PRIMARY KEY,
    callback_id        uuid NOT NULL CONSTRAINT unmatched_payments_callback REFERENCES callbacks (id),
    status             text NOT NULL DEFAULT 'open' CONSTRAINT unmatched_payments_status_known
                       CHECK (status IN ('open', 'assigned', 'reversed')),
    partner_id         text NOT NULL,
    partner_reference  text NOT NULL,
    -- What the partner named: a transaction that was paid by other money, a merchant, a terminal.
    transaction_id     uuid CONSTRAINT unmatched_payments_transaction REFERENCES transactions (id),
    nmid               text,
    merchant_pan       text,
    terminal_label     text,
    terminal_id        text,
    amount             bigint CONSTRAINT unmatched_payments_amount_positive CHECK (amount > 0),
    -- An amount beyond 64 bits, as it was written: it is never booked, and never added up.
    amount_text        text,
    paid_at            timestamptz NOT NULL,
    rrn                text,
    issuer             text,
    reason             text NOT NULL,
    -- The transaction that the money became.
    assigned_to        uuid CONSTRAINT unmatched_payments_assigned_to REFERENCES transactions (id),
    created_at         timestamptz NOT NULL,
    closed_at          timestamptz,
    closed_by          text,
    CONSTRAINT unmatched_payments_reference_unique UNIQUE (partner_id, partner_reference),
    CONSTRAINT unmatched_payments_amount_is_said CHECK ((amount IS NULL) = (amount_text IS NOT NULL)),
    -- As of transactions: business time is never after the moment of acceptance.
    CONSTRAINT unmatched_payments_paid_at_bounded CHECK (paid_at <= created_at),
    CONSTRAINT unmatched_payments_assigned_has_a_transaction CHECK ((status = 'assigned') = (assigned_to IS NOT NULL)),
    CONSTRAINT unmatched_payments_closed_says_by_whom CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT unmatched_payments_closed_at_has_a_name CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE INDEX unmatched_payments_newest ON unmatched_payments (created_at DESC, id DESC);
CREATE INDEX unmatched_payments_by_status ON unmatched_payments (status, created_at DESC, id DESC);
