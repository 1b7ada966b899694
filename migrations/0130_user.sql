-- A user may be without a password until the person sets one with a one-time code. The code is never kept, only its hash: of one
-- code, or of two halves that two people hold.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
ALTER TABLE users ADD COLUMN setup_hash bytea;
ALTER TABLE users ADD COLUMN setup_expires_at timestamptz;
ALTER TABLE users ADD CONSTRAINT users_setup_is_complete CHECK ((setup_hash IS NULL) = (setup_expires_at IS NULL));

-- Since when the account stands as it is: made, enabled again, given a role, or given a password by others. Who is newer than
-- money.confirm_wait_h confirms nothing.
ALTER TABLE users ADD COLUMN access_changed_at timestamptz;
UPDATE users SET access_changed_at = updated_at;
ALTER TABLE users ALTER COLUMN access_changed_at SET NOT NULL;
