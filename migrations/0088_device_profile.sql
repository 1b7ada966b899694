-- Boxes of other makers. A profile says how such a box joins, which topics it uses and how messages are written for it;
-- `native` is the contract's own box.
ALTER TABLE devices
    ADD COLUMN profile text NOT NULL DEFAULT 'native' CONSTRAINT devices_profile_named CHECK (profile <> ''),
    -- The most that its notifications can be confirmed by: that of the profile, kept with the device for statements that
    -- read many of them.
    ADD COLUMN confirmation text NOT NULL DEFAULT 'played' CONSTRAINT devices_confirmation_known
        CHECK (confirmation IN ('played', 'received', 'puback')),
    ADD COLUMN imei text CONSTRAINT devices_imei_digits CHECK (imei ~ '^[0-9]{14,16}$'),
    ADD COLUMN product_key text CONSTRAINT devices_product_key_named CHECK (product_key <> ''),
    -- By which a box without a certificate is found at its CONNECT.
    ADD COLUMN mqtt_user_name text CONSTRAINT devices_mqtt_user_name_unique UNIQUE,
    ADD CONSTRAINT devices_native_has_no_user_name CHECK (profile <> 'native' OR mqtt_user_name IS NULL);

-- A password is a credential as a certificate is: it is replaced, outlived by its successor and revoked in the same way.
-- Its `certificate_serial` is a random name beginning with `pw_`, by which sessions and revocations refer to it. It has
-- no end of its own.
ALTER TABLE device_credentials
    ADD COLUMN kind text NOT NULL DEFAULT 'certificate' CONSTRAINT device_credentials_kind_known
        CHECK (kind IN ('certificate', 'password')),
    ADD COLUMN password_sha256 bytea,
    ALTER COLUMN public_key_sha256 DROP NOT NULL,
    ALTER COLUMN certificate_pem DROP NOT NULL,
    ALTER COLUMN not_after DROP NOT NULL,
    ADD CONSTRAINT device_credentials_complete CHECK (CASE kind
        WHEN 'certificate' THEN password_sha256 IS NULL AND num_nulls(public_key_sha256, certificate_pem, not_after) = 0
        ELSE octet_length(password_sha256) = 32 AND num_nonnulls(public_key_sha256, certificate_pem, not_after) = 0 END);
