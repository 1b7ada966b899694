-- A box that subscribes with quality of service 0 sends no PUBACK; where a PUBACK is all that its profile has, nothing
-- confirms what it is sent. Its subscription says so, not its profile.
ALTER TABLE devices
    DROP CONSTRAINT devices_confirmation_known,
    ADD CONSTRAINT devices_confirmation_known CHECK (confirmation IN ('played', 'received', 'puback', 'none'));
