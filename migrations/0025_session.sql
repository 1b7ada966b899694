-- MQTT sessions: what must outlive a restart of the platform. `epoch` rises with every CONNECT, so that what an older
-- connection still sends (its will, its end) is recognised and ignored.
CREATE TABLE sessions (
    device_id           uuid PRIMARY KEY CONSTRAINT sessions_device REFERENCES devices (id),
    epoch               bigint NOT NULL,
    node                text NOT NULL,
    connected           boolean NOT NULL,
    persistent          boolean NOT NULL,
    subscriptions       jsonb NOT NULL,
    certificate_serial  text NOT NULL,
    connected_at        timestamptz NOT NULL,
    ended_at            timestamptz,
    end_reason          text,
    -- When a kept session is deleted; null while it is connected.
    expires_at          timestamptz,
    session_expiry_s    bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sessions_connected_by_node ON sessions (node) WHERE connected;
