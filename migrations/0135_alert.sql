-- An outage of a terminal with several boxes is one alert. What the terminal's boxes that are away are, and since when:
-- up to 50 of them by name, and how many in all.
CREATE FUNCTION boxes_away_at(terminal uuid, before timestamptz, OUT since timestamptz, OUT away bigint, OUT devices jsonb)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT min(b.since), count(*),
           jsonb_agg(jsonb_build_object('device_id', 'sbx_' || replace(b.id::text, '-', ''), 'serial_number', b.serial_number,
                                        'last_seen_at', b.last_seen_at) ORDER BY b.place) FILTER (WHERE b.place <= 50)
    FROM (SELECT d.id, d.serial_number, p.last_seen_at, greatest(p.last_seen_at, b.bound_at) AS since,
                 row_number() OVER (ORDER BY d.serial_number) AS place
          FROM bindings b
          JOIN devices d ON d.id = b.device_id AND d.status = 'active'
          JOIN device_presence p ON p.device_id = d.id
          WHERE b.terminal_id = terminal AND b.unbound_at IS NULL AND NOT p.online
            AND greatest(p.last_seen_at, b.bound_at) <= before) b
$$;

-- The alerts of a box are also those of the terminal where it stands.
CREATE INDEX alerts_by_subject_id ON alerts (subject_id, kind);
