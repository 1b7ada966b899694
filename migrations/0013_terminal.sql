CREATE TABLE terminals (
    id              uuid PRIMARY KEY,
    merchant_id     uuid NOT NULL CONSTRAINT terminals_merchant REFERENCES merchants (id),
    outlet_id       uuid NOT NULL CONSTRAINT terminals_outlet REFERENCES outlets (id),
    name            text NOT NULL,
    -- EMVCo tag 62.07; a static payment is attributed by NMID and this label.
    terminal_label  text NOT NULL,
    qr_mode         text NOT NULL CONSTRAINT terminals_qr_mode_known CHECK (qr_mode IN ('static', 'dynamic', 'both')),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT terminals_label_unique UNIQUE (merchant_id, terminal_label)
);
CREATE INDEX terminals_newest ON terminals (created_at DESC, id DESC);
CREATE INDEX terminals_by_outlet ON terminals (outlet_id, created_at DESC, id DESC);
