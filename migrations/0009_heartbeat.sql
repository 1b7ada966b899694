-- Partitioned by day of arrival; old days are dropped whole. The box's own clock is only data.
CREATE TABLE heartbeats (
    device_id         uuid NOT NULL,
    received_at       timestamptz NOT NULL,
    device_time       text,
    firmware_version  text,
    state             text,
    network_strength  smallint,
    battery_level     smallint,
    extras            jsonb
) PARTITION BY RANGE (received_at);
CREATE INDEX heartbeats_by_device ON heartbeats (device_id, received_at DESC);

CREATE FUNCTION ensure_heartbeat_partitions(first_day date, days int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date;
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        day := first_day + i;
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF heartbeats FOR VALUES FROM (%L) TO (%L)',
            'heartbeats_' || to_char(day, 'YYYYMMDD'),
            to_char(day, 'YYYY-MM-DD') || 'T00:00:00Z',
            to_char(day + 1, 'YYYY-MM-DD') || 'T00:00:00Z');
    END LOOP;
END $$;

CREATE FUNCTION drop_heartbeat_partitions(before_day date) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    partition text;
    dropped int := 0;
BEGIN
    FOR partition IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = pg_inherits.inhrelid
        JOIN pg_class parent ON parent.oid = pg_inherits.inhparent
        WHERE parent.relname = 'heartbeats' AND child.relname ~ '^heartbeats_[0-9]{8}$'
          AND to_date(right(child.relname, 8), 'YYYYMMDD') < before_day
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Uplinks that broke a rule: acknowledged so that they cannot come back for ever, kept so that
-- somebody can see why.
CREATE TABLE rejected_uplinks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id    uuid NOT NULL,
    channel      text NOT NULL,
    payload      bytea NOT NULL,
    reason       text NOT NULL,
    received_at  timestamptz NOT NULL
);
CREATE INDEX rejected_uplinks_by_device ON rejected_uplinks (device_id, id DESC);
