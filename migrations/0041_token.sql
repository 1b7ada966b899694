-- Bearer tokens of people, programs and boxes. Only the SHA-256 is kept.
CREATE TABLE tokens (
    id                  uuid PRIMARY KEY,
    token_hash          bytea NOT NULL CONSTRAINT tokens_hash_unique UNIQUE,
    name                text NOT NULL,
    role                text CONSTRAINT tokens_role_known CHECK (role IN
                        ('admin', 'ops', 'finance', 'support', 'merchant_owner', 'merchant_cashier')),
    merchant_id         uuid CONSTRAINT tokens_merchant REFERENCES merchants (id),
    -- The user whose login made it; a program's token has none.
    user_id             uuid CONSTRAINT tokens_user REFERENCES users (id),
    device_id           uuid CONSTRAINT tokens_device REFERENCES devices (id),
    -- A box's certificate and token are issued together, and the token is revoked with the certificate.
    certificate_serial  text CONSTRAINT tokens_certificate REFERENCES device_credentials (certificate_serial),
    created_at          timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    first_used_at       timestamptz,
    revoked_at          timestamptz,
    CONSTRAINT tokens_one_kind CHECK ((role IS NULL) <> (device_id IS NULL)),
    CONSTRAINT tokens_merchant_roles CHECK ((merchant_id IS NOT NULL) = (role IS NOT NULL AND role LIKE 'merchant\_%')),
    CONSTRAINT tokens_user_has_role CHECK (user_id IS NULL OR role IS NOT NULL)
);
CREATE INDEX tokens_by_device ON tokens (device_id) WHERE device_id IS NOT NULL;
CREATE INDEX tokens_by_user ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_newest ON tokens (created_at DESC, id DESC) WHERE role IS NOT NULL;
