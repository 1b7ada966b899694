-- What a box's beats of one hour amount to, for charts that reach further back than the beats themselves are kept.
CREATE TABLE heartbeat_hours (
    device_id          uuid NOT NULL,
    hour               timestamptz NOT NULL,
    beats              int NOT NULL,
    -- Percent; averages are rounded. Null: no beat of the hour told.
    battery_min        smallint,
    battery_avg        smallint,
    signal_min         smallint,
    signal_avg         smallint,
    -- The longest silence within the hour, its beginning and end included, seconds.
    longest_gap_s      int NOT NULL,
    PRIMARY KEY (device_id, hour)
);
CREATE INDEX heartbeat_hours_by_hour ON heartbeat_hours (hour);

-- The hours that are rolled up for every box, one after the other without a hole.
CREATE TABLE heartbeat_rollups (
    hour       timestamptz PRIMARY KEY,
    rolled_at  timestamptz NOT NULL
);

-- The beats of these boxes, hour by hour, in from_hour .. to_hour; an hour that is not over ends at this moment.
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
