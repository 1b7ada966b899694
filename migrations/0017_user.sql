-- People who log in. A user is never deleted, because the audit log names it; it is disabled.
CREATE TABLE users (
    id             uuid PRIMARY KEY,
    -- In lower case, so that one address is one user.
    email          text NOT NULL CONSTRAINT users_email_unique UNIQUE
                   CONSTRAINT users_email_form CHECK (email = lower(email) AND email LIKE '%_@_%' AND length(email) <= 254),
    -- Argon2id in the PHC string format: salt and cost are part of it.
    password_hash  text NOT NULL CONSTRAINT users_password_hash_form CHECK (password_hash LIKE '$argon2id$%'),
    role           text NOT NULL CONSTRAINT users_role_known CHECK (role IN
                   ('admin', 'ops', 'finance', 'support', 'merchant_owner', 'merchant_cashier')),
    merchant_id    uuid CONSTRAINT users_merchant REFERENCES merchants (id),
    status         text NOT NULL CONSTRAINT users_status_known CHECK (status IN ('active', 'disabled')),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT users_merchant_roles CHECK ((merchant_id IS NOT NULL) = (role LIKE 'merchant\_%'))
);
CREATE INDEX users_newest ON users (created_at DESC, id DESC);

-- What a user's login gave it; a program's token has no user.
ALTER TABLE tokens
    ADD COLUMN user_id uuid CONSTRAINT tokens_user REFERENCES users (id),
    ADD CONSTRAINT tokens_user_has_role CHECK (user_id IS NULL OR role IS NOT NULL);
CREATE INDEX tokens_by_user ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_newest ON tokens (created_at DESC, id DESC) WHERE role IS NOT NULL;

-- Logins that failed or are in hand: written before the password is looked at, so that many at once count too,
-- and taken back by the one that succeeds. Neither emails nor full addresses: what was typed may be a password.
CREATE TABLE login_attempts (
    id            uuid PRIMARY KEY,
    email_sha256  bytea NOT NULL,
    address       text,
    attempted_at  timestamptz NOT NULL
);
CREATE INDEX login_attempts_by_email ON login_attempts (email_sha256, attempted_at DESC);
CREATE INDEX login_attempts_by_address ON login_attempts (address, attempted_at DESC) WHERE address IS NOT NULL;
CREATE INDEX login_attempts_oldest ON login_attempts (attempted_at);
