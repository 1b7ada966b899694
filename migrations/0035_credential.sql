-- A box's certificate and token are issued together, and a revoked certificate takes its token along.
ALTER TABLE tokens ADD COLUMN certificate_serial text
    CONSTRAINT tokens_certificate REFERENCES device_credentials (certificate_serial);
UPDATE tokens t SET certificate_serial = c.certificate_serial
    FROM device_credentials c WHERE c.device_id = t.device_id AND c.created_at = t.created_at;

-- Reasons are those of RFC 5280 from now on.
UPDATE device_credentials SET revoked_reason = CASE revoked_reason
    WHEN 'suspended' THEN 'privilege_withdrawn' WHEN 'retired' THEN 'cessation_of_operation'
    WHEN 'reactivated' THEN 'superseded' ELSE revoked_reason END
WHERE revoked_reason IS NOT NULL;
ALTER TABLE device_credentials ADD CONSTRAINT device_credentials_revoked_reason_known CHECK (revoked_reason IN
    ('unspecified', 'key_compromise', 'superseded', 'cessation_of_operation', 'privilege_withdrawn'));

-- The forecast of expiries reads nothing but this, and the revocation list little more than that.
CREATE INDEX device_credentials_by_expiry ON device_credentials (device_id, not_after, superseded_until)
    WHERE revoked_at IS NULL;
CREATE INDEX device_credentials_revoked ON device_credentials (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX device_credentials_superseded ON device_credentials (superseded_until)
    WHERE superseded_until IS NOT NULL AND revoked_at IS NULL;
