-- What a person at a box last asked for by its button: the last payment again, or the total of the day. A row of its own
-- for each box and kind: the same request is answered once, and the next one not at once.
CREATE TABLE device_requests (
    device_id     uuid NOT NULL CONSTRAINT device_requests_device REFERENCES devices (id),
    kind          text NOT NULL CONSTRAINT device_requests_kind_known CHECK (kind IN ('replay', 'total')),
    -- The box's own id of it.
    request_id    text NOT NULL,
    requested_at  timestamptz NOT NULL,
    PRIMARY KEY (device_id, kind)
) WITH (fillfactor = 60);

-- A replay that a person at the box asked for is said to be a repetition; one that an operator made is said to be delayed.
ALTER TABLE notifications
    ADD COLUMN requested boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT notifications_requested_is_a_replay CHECK (replay OR NOT requested);
