-- How far a box's own clock is ahead of ours, by its last beat. Null: it told no time that can be read.
ALTER TABLE device_presence ADD COLUMN clock_skew_ms bigint;

-- Boxes on HTTP have no session whose end tells that they are gone: they are looked for.
CREATE INDEX devices_on_http ON devices (id) WHERE communication_mode = 'http';

-- Who came and went lately, and what is old enough to be forgotten.
CREATE INDEX device_events_by_time ON device_events (at);

-- How often a box beats, seconds: by its configuration, else as the platform tells boxes. What is no sane number in a
-- configuration is as if it were not there.
CREATE FUNCTION beat_interval_s(config jsonb, usual int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(config -> 'heartbeat_interval_s') = 'number'
                 AND (config ->> 'heartbeat_interval_s')::numeric BETWEEN 1 AND 86400
                THEN (config ->> 'heartbeat_interval_s')::numeric::int
                ELSE usual END
$$;
