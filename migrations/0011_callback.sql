-- Every callback as it came, before anything was made of it.
CREATE TABLE callbacks (
    id                 uuid PRIMARY KEY,
    route              text NOT NULL,
    partner_id         text,
    received_at        timestamptz NOT NULL,
    headers            jsonb NOT NULL,
    body               bytea NOT NULL,
    -- What became of it: accepted, duplicate, unmatched, held, ignored, incident, rejected.
    verdict            text NOT NULL,
    reason             text,
    http_status        smallint NOT NULL,
    partner_reference  text,
    transaction_id     uuid
);
CREATE INDEX callbacks_newest ON callbacks (received_at DESC, id DESC);
CREATE INDEX callbacks_by_reference ON callbacks (partner_id, partner_reference);

-- Signed messages that contradict what we know. A person looks at each.
CREATE TABLE incidents (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL,
    partner_id      text NOT NULL,
    transaction_id  uuid CONSTRAINT incidents_transaction REFERENCES transactions (id),
    callback_id     uuid NOT NULL CONSTRAINT incidents_callback REFERENCES callbacks (id),
    details         jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    resolved_at     timestamptz
);
CREATE INDEX incidents_by_transaction ON incidents (transaction_id);
CREATE INDEX incidents_newest ON incidents (created_at DESC, id DESC);

-- Money that came and could not be attributed: never dropped.
CREATE TABLE unmatched_payments (
    id                 uuid PRIMARY KEY,
    callback_id        uuid NOT NULL CONSTRAINT unmatched_payments_callback REFERENCES callbacks (id),
    partner_id         text NOT NULL,
    partner_reference  text NOT NULL,
    transaction_id     uuid CONSTRAINT unmatched_payments_transaction REFERENCES transactions (id),
    nmid               text,
    terminal_label     text,
    amount             bigint NOT NULL CONSTRAINT unmatched_payments_amount_positive CHECK (amount > 0),
    paid_at            timestamptz NOT NULL,
    reason             text NOT NULL,
    created_at         timestamptz NOT NULL,
    CONSTRAINT unmatched_payments_reference_unique UNIQUE (partner_id, partner_reference)
);
CREATE INDEX unmatched_payments_newest ON unmatched_payments (created_at DESC, id DESC);
