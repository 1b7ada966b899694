-- Payments, from the code on.
CREATE TABLE transactions (
    id                 uuid PRIMARY KEY,
    merchant_id        uuid NOT NULL CONSTRAINT transactions_merchant REFERENCES merchants (id),
    outlet_id          uuid NOT NULL CONSTRAINT transactions_outlet REFERENCES outlets (id),
    terminal_id        uuid NOT NULL CONSTRAINT transactions_terminal REFERENCES terminals (id),
    device_id          uuid CONSTRAINT transactions_device REFERENCES devices (id),
    qr_type            text NOT NULL CONSTRAINT transactions_qr_type_known CHECK (qr_type IN ('static', 'dynamic')),
    -- Until it is paid, the amount requested without a tip; from then on, the amount paid, tip included.
    amount             bigint NOT NULL CONSTRAINT transactions_amount_positive CHECK (amount > 0),
    -- How the code requests a tip besides the amount (EMVCo tags 55 to 57); null: it does not.
    tip_mode           text CONSTRAINT transactions_tip_mode_known CHECK (tip_mode IN ('free', 'fixed', 'percentage')),
    -- What the code with a tip requests in all; with a free tip, the least.
    amount_due         bigint CONSTRAINT transactions_amount_due_positive CHECK (amount_due > 0),
    -- The part of what was paid that is the tip.
    tip                bigint CONSTRAINT transactions_tip_is_a_part CHECK (tip >= 0 AND tip < amount),
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
    -- EMVCo tag 62.05 of the code that we showed.
    qr_reference       text,
    qr_payload         text,
    -- The box's own id of the request: the same request again is answered with the same code.
    request_id         text,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz,
    -- Business time. It is never after the moment of acceptance: otherwise a partner's clock that is ahead would keep money
    -- out of the settlements.
    paid_at            timestamptz,
    accepted_at        timestamptz,
    -- The foreign key is in the file of settlements.
    settlement_id      uuid,
    CONSTRAINT transactions_partner_reference_unique UNIQUE (partner_id, partner_reference),
    CONSTRAINT transactions_device_request_unique UNIQUE (device_id, request_id),
    CONSTRAINT transactions_tip_has_a_mode CHECK (tip_mode IS NOT NULL OR (amount_due IS NULL AND tip IS NULL)),
    CONSTRAINT transactions_tip_mode_has_amount_due CHECK (tip_mode IS NULL OR amount_due IS NOT NULL),
    CONSTRAINT transactions_money_adds_up CHECK (amount = fee + net AND fee >= 0 AND net >= 0),
    CONSTRAINT transactions_paid_is_complete CHECK (status NOT IN ('paid', 'reversed') OR
        (fee IS NOT NULL AND net IS NOT NULL AND paid_at IS NOT NULL AND partner_reference IS NOT NULL)),
    CONSTRAINT transactions_paid_at_bounded CHECK (paid_at <= accepted_at)
);
-- Lists: of all, of a merchant, of an outlet, of a terminal, and by an acquirer's reference, whichever acquirer it is.
CREATE INDEX transactions_newest ON transactions (created_at DESC, id DESC);
CREATE INDEX transactions_by_merchant ON transactions (merchant_id, created_at DESC, id DESC);
CREATE INDEX transactions_by_outlet ON transactions (outlet_id, created_at DESC, id DESC);
CREATE INDEX transactions_by_terminal ON transactions (terminal_id, created_at DESC, id DESC);
CREATE INDEX transactions_by_reference ON transactions (partner_reference) WHERE partner_reference IS NOT NULL;
-- Codes that expire. One that the partner never issued expires like any other.
CREATE INDEX transactions_awaiting ON transactions (expires_at) WHERE status = 'awaiting_payment';
CREATE INDEX transactions_initiated ON transactions (expires_at) WHERE status = 'initiated';
-- For settlement.
CREATE INDEX transactions_unsettled ON transactions (merchant_id, paid_at)
    WHERE settlement_id IS NULL AND status IN ('paid', 'reversed');
CREATE INDEX transactions_reversed ON transactions (merchant_id, paid_at) WHERE status = 'reversed';
-- For the sums of a merchant's dashboard, from the index alone.
CREATE INDEX transactions_paid_by_merchant ON transactions (merchant_id, paid_at)
    INCLUDE (outlet_id, amount, fee, net) WHERE status = 'paid';
-- For reconciliation.
CREATE INDEX transactions_paid_at_partner ON transactions (partner_id, paid_at) WHERE paid_at IS NOT NULL;

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
