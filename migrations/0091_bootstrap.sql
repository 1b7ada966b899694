-- Until when, and how often, a box of another maker may ask for its settings, which hold a new password. It proves nothing
-- but its serial number and IMEI, which stand on its label: so this is open only while an operator wants it.
CREATE TABLE device_bootstraps (
    device_id     uuid PRIMARY KEY CONSTRAINT device_bootstraps_device REFERENCES devices (id),
    open_until    timestamptz NOT NULL,
    calls_left    int NOT NULL CONSTRAINT device_bootstraps_calls CHECK (calls_left >= 0),
    opened_by     text NOT NULL,
    opened_at     timestamptz NOT NULL,
    last_call_at  timestamptz,
    last_address  text
);
