-- Certificates of services that observe the fleet. The CA issues them without this database: a row is inserted when one is
-- first used, or when it is revoked before that.
CREATE TABLE observers (
    certificate_serial  text PRIMARY KEY,
    -- The common name; null until the certificate has been used.
    name                text,
    first_seen_at       timestamptz,
    last_seen_at        timestamptz,
    revoked_at          timestamptz,
    CONSTRAINT observers_serial_form CHECK (certificate_serial ~ '^[0-9a-f]{2,40}$')
);
