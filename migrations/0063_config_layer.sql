-- What the fleet's, a merchant's, an outlet's boxes are set to. A box's own layer stands with it in device_configs, and
-- device_configs.config is what all of them make together.
CREATE TABLE config_layers (
    kind          text NOT NULL CONSTRAINT config_layers_kind_known CHECK (kind IN ('fleet', 'merchant', 'outlet')),
    -- The merchant's or outlet's id; all zeros for the fleet.
    owner_id      uuid NOT NULL,
    version       bigint NOT NULL,
    config        jsonb NOT NULL,
    updated_by    text,
    updated_at    timestamptz,
    -- A change is carried to the boxes in batches: the last box that has it; null when all have.
    spread_after  uuid,
    PRIMARY KEY (kind, owner_id)
);
CREATE INDEX config_layers_spreading ON config_layers (kind, owner_id) WHERE spread_after IS NOT NULL;
INSERT INTO config_layers (kind, owner_id, version, config)
VALUES ('fleet', '00000000-0000-0000-0000-000000000000', 0, '{}');

ALTER TABLE device_configs
    ADD COLUMN layer             jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN push_requested    boolean NOT NULL DEFAULT false,
    -- What the box said it applied, and what it may still say that of: the version before the present one.
    ADD COLUMN reported_version  bigint,
    ADD COLUMN reported          jsonb,
    ADD COLUMN previous          jsonb;
UPDATE device_configs SET reported_version = applied_version, reported = config WHERE applied_version = version;
-- Boxes that are not what they should be: few, and looked for twice a second.
CREATE INDEX device_configs_unapplied ON device_configs (updated_at DESC, device_id DESC)
    WHERE applied_version IS DISTINCT FROM version;
CREATE INDEX device_configs_requested ON device_configs (device_id) WHERE push_requested;
