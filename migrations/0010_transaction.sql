CREATE TABLE transactions (
    id                 uuid PRIMARY KEY,
    merchant_id        uuid NOT NULL CONSTRAINT transactions_merchant REFERENCES merchants (id),
    outlet_id          uuid NOT NULL CONSTRAINT transactions_outlet REFERENCES outlets (id),
    terminal_id        uuid NOT NULL CONSTRAINT transactions_terminal REFERENCES terminals (id),
    device_id          uuid CONSTRAINT transactions_device REFERENCES devices (id),
    qr_type            text NOT NULL CONSTRAINT transactions_qr_type_known CHECK (qr_type IN ('static', 'dynamic')),
    amount             bigint NOT NULL CONSTRAINT transactions_amount_positive CHECK (amount > 0),
    currency           text NOT NULL CONSTRAINT transactions_currency_idr CHECK (currency = 'IDR'),
    status             text NOT NULL CONSTRAINT transactions_status_known CHECK (status IN
                       ('initiated', 'awaiting_payment', 'paid', 'failed', 'expired', 'reversed')),
    late               boolean NOT NULL DEFAULT false,
    fee                bigint,
    net                bigint,
    fee_profile_id     text,
    fee_version        int,
    partner_id         text NOT NULL,
    partner_reference  text,
    rrn                text,
    issuer             text,
    -- EMVCo tag 62.05 of the code we showed.
    qr_reference       text,
    qr_payload         text,
    -- The box's own id of the request: asking again answers with the same code.
    request_id         text,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz,
    paid_at            timestamptz,
    accepted_at        timestamptz,
    settlement_id      uuid,
    CONSTRAINT transactions_partner_reference_unique UNIQUE (partner_id, partner_reference),
    CONSTRAINT transactions_device_request_unique UNIQUE (device_id, request_id),
    CONSTRAINT transactions_money_adds_up CHECK (amount = fee + net AND fee >= 0 AND net >= 0),
    CONSTRAINT transactions_paid_is_complete CHECK (status NOT IN ('paid', 'reversed') OR
        (fee IS NOT NULL AND net IS NOT NULL AND paid_at IS NOT NULL AND partner_reference IS NOT NULL))
);
CREATE INDEX transactions_newest ON transactions (created_at DESC, id DESC);
CREATE INDEX transactions_by_merchant ON transactions (merchant_id, created_at DESC, id DESC);
CREATE INDEX transactions_awaiting ON transactions (expires_at) WHERE status = 'awaiting_payment';

CREATE TABLE transaction_events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id  uuid NOT NULL CONSTRAINT transaction_events_transaction REFERENCES transactions (id),
    at              timestamptz NOT NULL,
    from_status     text,
    to_status       text NOT NULL,
    cause           text NOT NULL,
    callback_id     uuid
);
CREATE INDEX transaction_events_by_transaction ON transaction_events (transaction_id, id);
