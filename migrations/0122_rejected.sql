-- Callbacks whose sender did not prove who it is: anybody can send them, so they are small and are kept for days.
CREATE TABLE rejected_callbacks (
    id                  uuid NOT NULL,
    route               text NOT NULL,
    -- Who the sender said it is.
    claimed_partner_id  text,
    -- The network that it came from; none behind a proxy.
    address             text,
    received_at         timestamptz NOT NULL,
    headers             jsonb NOT NULL,
    -- Its beginning; body_bytes is the length of the whole.
    body                bytea NOT NULL CONSTRAINT rejected_callbacks_body_small CHECK (length(body) <= 2048),
    body_bytes          int NOT NULL,
    reason              text NOT NULL,
    http_status         smallint NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX rejected_callbacks_newest ON rejected_callbacks (received_at DESC, id DESC);
CREATE INDEX rejected_callbacks_by_id ON rejected_callbacks (id);

-- The bytes of verified callbacks. The row in callbacks stays with the money that it moved; its bytes go after some time.
-- A block range index is enough to find one by its moment, and costs a payment next to nothing.
CREATE TABLE callback_bodies (
    callback_id  uuid NOT NULL,
    received_at  timestamptz NOT NULL,
    headers      jsonb NOT NULL,
    body         bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX callback_bodies_by_time ON callback_bodies USING brin (received_at);

ALTER TABLE rejected_uplinks RENAME TO rejected_uplinks_before;
ALTER INDEX rejected_uplinks_by_device RENAME TO rejected_uplinks_before_by_device;
CREATE TABLE rejected_uplinks (
    device_id    uuid NOT NULL,
    channel      text NOT NULL,
    payload      bytea NOT NULL,
    reason       text NOT NULL,
    received_at  timestamptz NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX rejected_uplinks_by_device ON rejected_uplinks (device_id, received_at DESC);

DO $$
DECLARE
    source text;
    target text;
    first_day date;
    last_day date;
BEGIN
    FOR source, target IN VALUES
        ('callbacks', 'rejected_callbacks'),
        ('callbacks', 'callback_bodies'),
        ('rejected_uplinks_before', 'rejected_uplinks')
    LOOP
        EXECUTE format(
            'SELECT (min(received_at) AT TIME ZONE ''UTC'')::date, (max(received_at) AT TIME ZONE ''UTC'')::date FROM %I',
            source) INTO first_day, last_day;
        IF first_day IS NOT NULL THEN
            PERFORM ensure_daily_partitions(target, first_day, last_day - first_day + 1);
        END IF;
    END LOOP;
END $$;

INSERT INTO rejected_callbacks (id, route, claimed_partner_id, received_at, headers, body, body_bytes, reason, http_status)
SELECT id, route, left(headers ->> 'x-partner-id', 128), received_at, headers, substring(body FOR 2048), length(body),
       coalesce(reason, ''), http_status
FROM callbacks WHERE verdict = 'rejected' AND partner_id IS NULL;
DELETE FROM callbacks WHERE verdict = 'rejected' AND partner_id IS NULL;
INSERT INTO callback_bodies (callback_id, received_at, headers, body) SELECT id, received_at, headers, body FROM callbacks;
ALTER TABLE callbacks ADD COLUMN body_bytes int;
UPDATE callbacks SET body_bytes = length(body);
ALTER TABLE callbacks ALTER COLUMN body_bytes SET NOT NULL, DROP COLUMN headers, DROP COLUMN body;
-- What is not the usual is looked for by its verdict; nearly all are accepted and cost this index nothing.
CREATE INDEX callbacks_by_verdict ON callbacks (verdict, received_at DESC, id DESC) WHERE verdict <> 'accepted';

INSERT INTO rejected_uplinks (device_id, channel, payload, reason, received_at)
SELECT device_id, channel, payload, reason, received_at FROM rejected_uplinks_before;
DROP TABLE rejected_uplinks_before;
