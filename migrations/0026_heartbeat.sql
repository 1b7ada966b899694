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

-- Uplinks that broke a rule: acknowledged, so that they are not sent again for ever, and kept for some days, so that
-- people can see why. Partitioned by day of arrival.
CREATE TABLE rejected_uplinks (
    device_id    uuid NOT NULL,
    channel      text NOT NULL,
    payload      bytea NOT NULL,
    reason       text NOT NULL,
    received_at  timestamptz NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX rejected_uplinks_by_device ON rejected_uplinks (device_id, received_at DESC);

-- The heartbeats of a box in one hour, summarised for charts that reach further back than heartbeats are kept.
CREATE TABLE heartbeat_hours (
    device_id          uuid NOT NULL,
    hour               timestamptz NOT NULL,
    beats              int NOT NULL,
    -- Percent; averages are rounded. Null: no heartbeat of the hour had a value.
    battery_min        smallint,
    battery_avg        smallint,
    signal_min         smallint,
    signal_avg         smallint,
    -- The longest silence within the hour, its beginning and end included, seconds.
    longest_gap_s      int NOT NULL,
    PRIMARY KEY (device_id, hour)
);
CREATE INDEX heartbeat_hours_by_hour ON heartbeat_hours (hour);

-- The hours that are summarised for every box, without a gap.
CREATE TABLE heartbeat_rollups (
    hour       timestamptz PRIMARY KEY,
    rolled_at  timestamptz NOT NULL
);

-- The heartbeats of these boxes, hour by hour, in from_hour .. to_hour; an hour that is not over ends at `moment`.
CREATE FUNCTION heartbeat_hours_of(devices uuid[], from_hour timestamptz, to_hour timestamptz, moment timestamptz)
RETURNS TABLE (device_id uuid, hour timestamptz, beats int, battery_min smallint, battery_avg smallint,
               signal_min smallint, signal_avg smallint, longest_gap_s int)
LANGUAGE sql STABLE AS $$
    SELECT b.device_id, b.hour, count(*)::int,
           min(b.battery_level), round(avg(b.battery_level))::smallint,
           min(b.network_strength), round(avg(b.network_strength))::smallint,
           ceil(extract(epoch FROM greatest(max(b.silence), least(b.hour + interval '1 hour', moment) - max(b.received_at))))::int
    FROM (SELECT h.device_id, h.hour, h.received_at, h.battery_level, h.network_strength,
                 h.received_at - coalesce(lag(h.received_at) OVER (PARTITION BY h.device_id, h.hour ORDER BY h.received_at), h.hour) AS silence
          FROM (SELECT r.device_id, date_trunc('hour', r.received_at, 'UTC') AS hour, r.received_at, r.battery_level, r.network_strength
                FROM heartbeats r
                WHERE r.device_id = ANY (devices) AND r.received_at >= from_hour AND r.received_at < to_hour) h) b
    GROUP BY b.device_id, b.hour
$$;

-- The interval at which a box sends heartbeats, seconds: the one of its configuration, else `usual`. A value in the
-- configuration that is no sane number counts as absent.
CREATE FUNCTION beat_interval_s(config jsonb, usual int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(config -> 'heartbeat_interval_s') = 'number'
                 AND (config ->> 'heartbeat_interval_s')::numeric BETWEEN 1 AND 86400
                THEN (config ->> 'heartbeat_interval_s')::numeric::int
                ELSE usual END
$$;
