-- What needs a person: opened and closed by the platform, acknowledged by people. An alert is about a box, or about
-- something else: a merchant, a terminal, a partner, the platform.
-- No foreign keys: an alert is written last in a transaction, and must not wait for the lock of another row.
CREATE TABLE alerts (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CONSTRAINT alerts_kind_known CHECK (kind IN
                     ('offline', 'unheard_payment', 'certificate_expiring', 'battery_low', 'flapping', 'unannounced_payment',
                      'unmatched_payment', 'incident', 'undeliverable_message', 'failed_item', 'payout_held',
                      'server_certificate_expiring', 'rejected_callback')),
    -- As the API writes it: an id with its prefix, `partner:NAME` or `platform`.
    subject          text NOT NULL,
    -- The UUID of the subject, when it has one.
    subject_id       uuid,
    device_id        uuid,
    -- Whose it is, when it is a merchant's. A box's merchant is that of its binding.
    merchant_id      uuid,
    -- When the condition began.
    since            timestamptz NOT NULL,
    details          jsonb NOT NULL,
    opened_at        timestamptz NOT NULL,
    closed_at        timestamptz,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    CONSTRAINT alerts_acknowledged_by_somebody CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (subject, kind) WHERE closed_at IS NULL;
CREATE INDEX alerts_newest ON alerts (opened_at DESC, id DESC);
CREATE INDEX alerts_by_device ON alerts (device_id, kind, since DESC);
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;
-- What closes alerts reads the open ones alone.
CREATE INDEX alerts_open_of_device ON alerts (device_id, kind) WHERE closed_at IS NULL;
-- The alerts of a box include those of the terminal where it stands.
CREATE INDEX alerts_by_subject_id ON alerts (subject_id, kind);

-- The condition of each alert that is searched for stands here once: what opens the alert and what closes it read the same
-- rows, each with its own threshold.

-- Active boxes at a terminal that are offline, and since when.
CREATE VIEW boxes_away AS
    SELECT d.id AS device_id, d.serial_number, b.terminal_id, b.merchant_id, o.timezone, p.last_seen_at,
           greatest(p.last_seen_at, b.bound_at) AS since
    FROM device_presence p
    JOIN devices d ON d.id = p.device_id AND d.status = 'active'
    JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
    JOIN outlets o ON o.id = b.outlet_id
    WHERE NOT p.online;

-- An outage of a terminal with several boxes is one alert. This returns the boxes of the terminal that are offline: since
-- when, how many, and up to 50 of them by name.
CREATE FUNCTION boxes_away_at(terminal uuid, before timestamptz, OUT since timestamptz, OUT away bigint, OUT devices jsonb)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT min(b.since), count(*),
           jsonb_agg(jsonb_build_object('device_id', 'sbx_' || replace(b.device_id::text, '-', ''), 'serial_number', b.serial_number,
                                        'last_seen_at', b.last_seen_at) ORDER BY b.place) FILTER (WHERE b.place <= 50)
    FROM (SELECT a.*, row_number() OVER (ORDER BY a.serial_number) AS place FROM boxes_away a
          WHERE a.terminal_id = terminal AND a.since <= before) b
$$;

-- Of each active box the certificate that ends last.
CREATE VIEW newest_certificates AS
    SELECT c.device_id, c.certificate_serial, c.not_after
    FROM device_credentials c
    JOIN devices d ON d.id = c.device_id AND d.status = 'active'
    WHERE c.revoked_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM device_credentials newer
                      WHERE newer.device_id = c.device_id AND newer.revoked_at IS NULL AND newer.not_after > c.not_after);

-- When boxes went online and offline. A restart of the platform does not count.
CREATE VIEW device_flips AS
    SELECT device_id, at FROM device_events
    WHERE kind IN ('online', 'offline') AND details ->> 'reason' IS DISTINCT FROM 'platform_restart';

-- Whether a shop in this zone is open at this moment. Hours past midnight close before they open; equal ones never end.
CREATE FUNCTION in_trading_hours(at timestamptz, zone text, opens time, closes time) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN opens = closes THEN true
        WHEN opens < closes THEN (at AT TIME ZONE zone)::time >= opens AND (at AT TIME ZONE zone)::time < closes
        ELSE (at AT TIME ZONE zone)::time >= opens OR (at AT TIME ZONE zone)::time < closes
    END
$$;
