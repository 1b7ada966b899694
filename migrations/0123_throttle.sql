-- Wrong activation codes count for the serial number together with the network that they came from, so that nobody can
-- use up somebody else's tries.
ALTER TABLE activation_failures ADD COLUMN address text;
DROP INDEX activation_failures_by_serial;
CREATE INDEX activation_failures_by_serial ON activation_failures (serial_number, address, failed_at DESC);
CREATE INDEX activation_failures_by_address ON activation_failures (address, failed_at DESC) WHERE address IS NOT NULL;
CREATE INDEX activation_failures_oldest ON activation_failures (failed_at);

-- The same for passwords.
DROP INDEX login_attempts_by_email;
CREATE INDEX login_attempts_by_email ON login_attempts (email_sha256, address, attempted_at DESC);
