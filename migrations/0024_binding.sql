-- Which box stands at which terminal, with its history.
CREATE TABLE bindings (
    id           uuid PRIMARY KEY,
    device_id    uuid NOT NULL CONSTRAINT bindings_device REFERENCES devices (id),
    terminal_id  uuid NOT NULL CONSTRAINT bindings_terminal REFERENCES terminals (id),
    outlet_id    uuid NOT NULL CONSTRAINT bindings_outlet REFERENCES outlets (id),
    merchant_id  uuid NOT NULL CONSTRAINT bindings_merchant REFERENCES merchants (id),
    bound_at     timestamptz NOT NULL,
    unbound_at   timestamptz
);
CREATE UNIQUE INDEX bindings_one_active ON bindings (device_id) WHERE unbound_at IS NULL;
CREATE INDEX bindings_active_by_terminal ON bindings (terminal_id) WHERE unbound_at IS NULL;
-- A merchant's boxes, from the index alone.
CREATE INDEX bindings_active_by_merchant ON bindings (merchant_id) INCLUDE (device_id) WHERE unbound_at IS NULL;
