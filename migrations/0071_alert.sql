-- What somebody has to look at: opened and closed by the platform, acknowledged by people.
CREATE TABLE alerts (
    id               uuid PRIMARY KEY,
    device_id        uuid NOT NULL CONSTRAINT alerts_device REFERENCES devices (id),
    kind             text NOT NULL CONSTRAINT alerts_kind_known CHECK (kind IN
                     ('offline', 'unheard_payment', 'certificate_expiring', 'battery_low', 'flapping')),
    -- When what it tells of began.
    since            timestamptz NOT NULL,
    details          jsonb NOT NULL,
    opened_at        timestamptz NOT NULL,
    closed_at        timestamptz,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    CONSTRAINT alerts_acknowledged_by_somebody CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (device_id, kind) WHERE closed_at IS NULL;
CREATE INDEX alerts_newest ON alerts (opened_at DESC, id DESC);
CREATE INDEX alerts_by_device ON alerts (device_id, kind, since DESC);
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;

-- Payments that a box failed to say or came too late for: few, so this costs a payment nothing.
CREATE INDEX notifications_unheard ON notifications (created_at) WHERE status IN ('failed', 'stale') AND NOT replay;

-- Certificates by their end.
CREATE INDEX device_credentials_ending ON device_credentials (not_after) WHERE revoked_at IS NULL;

-- Whether a shop in this zone sells at this moment. Hours past midnight close before they open; equal ones never end.
CREATE FUNCTION in_trading_hours(at timestamptz, zone text, opens time, closes time) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN opens = closes THEN true
        WHEN opens < closes THEN (at AT TIME ZONE zone)::time >= opens AND (at AT TIME ZONE zone)::time < closes
        ELSE (at AT TIME ZONE zone)::time >= opens OR (at AT TIME ZONE zone)::time < closes
    END
$$;
