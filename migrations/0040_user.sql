-- People who log in. A user is never deleted, because the audit log names it; it is disabled.
CREATE TABLE users (
    id                 uuid PRIMARY KEY,
    -- In lower case, so that one address is one user.
    email              text NOT NULL CONSTRAINT users_email_unique UNIQUE
                       CONSTRAINT users_email_form CHECK (email = lower(email) AND email LIKE '%_@_%' AND length(email) <= 254),
    role               text NOT NULL CONSTRAINT users_role_known CHECK (role IN
                       ('admin', 'ops', 'finance', 'support', 'merchant_owner', 'merchant_cashier')),
    merchant_id        uuid CONSTRAINT users_merchant REFERENCES merchants (id),
    status             text NOT NULL CONSTRAINT users_status_known CHECK (status IN ('active', 'disabled')),
    -- Argon2id in the PHC string format: salt and cost are part of it. Null until the person sets a password with a
    -- one-time code.
    password_hash      text CONSTRAINT users_password_hash_form CHECK (password_hash LIKE '$argon2id$%'),
    -- SHA-256 of that code, which is not kept: of one code, or of two halves that two people hold.
    setup_hash         bytea,
    setup_expires_at   timestamptz,
    -- When the account was made, enabled again, given a role, or given a password by others, whichever was last. A user
    -- confirms nothing until money.confirm_wait_h have passed since.
    access_changed_at  timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CONSTRAINT users_merchant_roles CHECK ((merchant_id IS NOT NULL) = (role LIKE 'merchant\_%')),
    CONSTRAINT users_setup_is_complete CHECK ((setup_hash IS NULL) = (setup_expires_at IS NULL))
);
CREATE INDEX users_newest ON users (created_at DESC, id DESC);

-- Logins that failed or are in progress: inserted before the password is checked, so that simultaneous ones count, and
-- deleted by the one that succeeds. Neither emails nor full addresses: what was typed as email may be a password. Like
-- activation codes, they count for the email together with the network from which they came.
CREATE TABLE login_attempts (
    id            uuid PRIMARY KEY,
    email_sha256  bytea NOT NULL,
    address       text,
    attempted_at  timestamptz NOT NULL
);
CREATE INDEX login_attempts_by_email ON login_attempts (email_sha256, address, attempted_at DESC);
CREATE INDEX login_attempts_by_address ON login_attempts (address, attempted_at DESC) WHERE address IS NOT NULL;
CREATE INDEX login_attempts_oldest ON login_attempts (attempted_at);
