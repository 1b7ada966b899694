-- Lists find a box by any part of its serial number.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- The boxes, as people set them.
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
    -- Words by which operators group boxes.
    tags                text[] NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    activated_at        timestamptz
);
CREATE INDEX devices_newest ON devices (created_at DESC, id DESC);
CREATE INDEX devices_by_part_of_serial ON devices USING gin (lower(serial_number) gin_trgm_ops);
CREATE INDEX devices_by_tag ON devices USING gin (tags);
-- The end of an MQTT session shows that a box is gone. Boxes on HTTP have none: they are searched for.
CREATE INDEX devices_on_http ON devices (id) WHERE communication_mode = 'http';

-- What changes with every heartbeat, apart from what people set, in rows with room for updates in place (HOT). An index on
-- a column that every heartbeat changes would prevent them: besides the key, only `online` is in one.
CREATE TABLE device_presence (
    device_id         uuid PRIMARY KEY CONSTRAINT device_presence_device REFERENCES devices (id),
    online            boolean NOT NULL DEFAULT false,
    last_seen_at      timestamptz,
    firmware_version  text,
    state             text,
    battery_level     smallint,
    network_strength  smallint,
    -- How far the box's clock was ahead of ours at its last heartbeat. Null: the heartbeat had no readable time.
    clock_skew_ms     bigint
) WITH (fillfactor = 60);
-- Lists are most often filtered for the boxes that are offline.
CREATE INDEX device_presence_away ON device_presence (device_id) WHERE NOT online;

-- The history of a box: among others, every change between online and offline.
CREATE TABLE device_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  uuid NOT NULL CONSTRAINT device_events_device REFERENCES devices (id),
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    details    jsonb
);
CREATE INDEX device_events_by_device ON device_events (device_id, id DESC);
-- For recent changes, and for deleting old ones.
CREATE INDEX device_events_by_time ON device_events (at);
