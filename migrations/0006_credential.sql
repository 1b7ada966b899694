-- One-time codes with which a box that has no certificate yet proves that it was shipped by us.
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

CREATE TABLE activation_failures (
    serial_number  text NOT NULL,
    failed_at      timestamptz NOT NULL
);
CREATE INDEX activation_failures_by_serial ON activation_failures (serial_number, failed_at);

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
    revoked_reason      text
);
CREATE INDEX device_credentials_by_device ON device_credentials (device_id, created_at DESC);

-- Bearer tokens of people, programs and boxes. Only the SHA-256 is kept.
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    token_hash   bytea NOT NULL CONSTRAINT tokens_hash_unique UNIQUE,
    name         text NOT NULL,
    role         text CONSTRAINT tokens_role_known CHECK (role IN
                 ('admin', 'ops', 'finance', 'support', 'merchant_owner', 'merchant_cashier')),
    merchant_id  uuid CONSTRAINT tokens_merchant REFERENCES merchants (id),
    device_id    uuid CONSTRAINT tokens_device REFERENCES devices (id),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    first_used_at timestamptz,
    CONSTRAINT tokens_one_kind CHECK ((role IS NULL) <> (device_id IS NULL)),
    CONSTRAINT tokens_merchant_roles CHECK ((merchant_id IS NOT NULL) = (role IS NOT NULL AND role LIKE 'merchant\_%'))
);
CREATE INDEX tokens_by_device ON tokens (device_id) WHERE device_id IS NOT NULL;
