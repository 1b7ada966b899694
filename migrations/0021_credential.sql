-- One-time codes with which a box that has no certificate yet proves that we shipped it.
CREATE TABLE activation_codes (
    id                      uuid PRIMARY KEY,
    device_id               uuid NOT NULL CONSTRAINT activation_codes_device REFERENCES devices (id),
    code_hash               bytea NOT NULL,
    created_at              timestamptz NOT NULL,
    expires_at              timestamptz NOT NULL,
    revoked_at              timestamptz,
    used_at                 timestamptz,
    -- The key it was used for: repeating an activation is allowed for the same key only.
    used_public_key_sha256  text
);
CREATE UNIQUE INDEX activation_codes_one_open ON activation_codes (device_id) WHERE revoked_at IS NULL;

-- Wrong activation codes. They count for the serial number together with the network from which they came, so that a
-- client of another network cannot use up a box's tries.
CREATE TABLE activation_failures (
    serial_number  text NOT NULL,
    address        text,
    failed_at      timestamptz NOT NULL
);
CREATE INDEX activation_failures_by_serial ON activation_failures (serial_number, address, failed_at DESC);
CREATE INDEX activation_failures_by_address ON activation_failures (address, failed_at DESC) WHERE address IS NOT NULL;
CREATE INDEX activation_failures_oldest ON activation_failures (failed_at);

-- The boxes' certificates.
CREATE TABLE device_credentials (
    certificate_serial  text PRIMARY KEY,
    device_id           uuid NOT NULL CONSTRAINT device_credentials_device REFERENCES devices (id),
    public_key_sha256   text NOT NULL,
    certificate_pem     text NOT NULL,
    not_after           timestamptz NOT NULL,
    created_at          timestamptz NOT NULL,
    first_used_at       timestamptz,
    -- Set when a successor was issued: this one ends then, or at the successor's first use.
    superseded_until    timestamptz,
    revoked_at          timestamptz,
    -- Reasons of RFC 5280.
    revoked_reason      text CONSTRAINT device_credentials_revoked_reason_known CHECK (revoked_reason IN
                        ('unspecified', 'key_compromise', 'superseded', 'cessation_of_operation', 'privilege_withdrawn'))
);
CREATE INDEX device_credentials_by_device ON device_credentials (device_id, created_at DESC);
-- The forecast of expiries reads nothing but this index, the revocation list little more than the next two.
CREATE INDEX device_credentials_by_expiry ON device_credentials (device_id, not_after, superseded_until)
    WHERE revoked_at IS NULL;
CREATE INDEX device_credentials_revoked ON device_credentials (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX device_credentials_superseded ON device_credentials (superseded_until)
    WHERE superseded_until IS NOT NULL AND revoked_at IS NULL;
-- For alerts of certificates that expire soon.
CREATE INDEX device_credentials_ending ON device_credentials (not_after) WHERE revoked_at IS NULL;
