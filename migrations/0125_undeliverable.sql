-- The newest version of a configuration that could not be sent to its box, and why.
ALTER TABLE device_configs
    ADD COLUMN failed_version bigint,
    ADD COLUMN failed_reason text,
    ADD CONSTRAINT device_configs_failed_for_a_reason CHECK ((failed_version IS NULL) = (failed_reason IS NULL));
