CREATE TABLE devices (
    id                  uuid PRIMARY KEY,
    serial_number       text NOT NULL CONSTRAINT devices_serial_number_unique UNIQUE,
    model               text NOT NULL,
    capabilities        text[] NOT NULL,
    communication_mode  text NOT NULL CONSTRAINT devices_communication_mode_known
                        CHECK (communication_mode IN ('mqtt', 'http')),
    status              text NOT NULL CONSTRAINT devices_status_known
                        CHECK (status IN ('registered', 'active', 'suspended', 'retired')),
    payload_encoding    text NOT NULL CONSTRAINT devices_payload_encoding_known
                        CHECK (payload_encoding IN ('json', 'msgpack')),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    activated_at        timestamptz
);
CREATE INDEX devices_newest ON devices (created_at DESC, id DESC);

-- What changes with every beat lives apart from what a person set, in a row with room for
-- updates in place (HOT): nothing here is indexed but the key.
CREATE TABLE device_presence (
    device_id         uuid PRIMARY KEY CONSTRAINT device_presence_device REFERENCES devices (id),
    online            boolean NOT NULL DEFAULT false,
    last_seen_at      timestamptz,
    firmware_version  text,
    state             text,
    battery_level     smallint,
    network_strength  smallint
) WITH (fillfactor = 60);

-- Every flip between online and offline, and whatever else is worth a line in a box's history.
CREATE TABLE device_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  uuid NOT NULL CONSTRAINT device_events_device REFERENCES devices (id),
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    details    jsonb
);
CREATE INDEX device_events_by_device ON device_events (device_id, id DESC);
