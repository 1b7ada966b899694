-- What the boxes of the fleet, a merchant or an outlet are set to. A box's own layer is in device_configs, and
-- device_configs.config is the result of all of them.
CREATE TABLE config_layers (
    kind          text NOT NULL CONSTRAINT config_layers_kind_known CHECK (kind IN ('fleet', 'merchant', 'outlet')),
    -- The merchant's or outlet's id; all zeros for the fleet.
    owner_id      uuid NOT NULL,
    version       bigint NOT NULL,
    config        jsonb NOT NULL,
    updated_by    text,
    updated_at    timestamptz,
    -- A change reaches the boxes in batches: the last box that has it; null when all have it.
    spread_after  uuid,
    PRIMARY KEY (kind, owner_id)
);
CREATE INDEX config_layers_spreading ON config_layers (kind, owner_id) WHERE spread_after IS NOT NULL;

-- The fleet has exactly one layer, from the beginning.
INSERT INTO config_layers (kind, owner_id, version, config)
VALUES ('fleet', '00000000-0000-0000-0000-000000000000', 0, '{}');

-- What each box should be set to, with the binding that it serves, and what it last reported.
CREATE TABLE device_configs (
    device_id         uuid PRIMARY KEY CONSTRAINT device_configs_device REFERENCES devices (id),
    version           bigint NOT NULL,
    config            jsonb NOT NULL,
    -- The box's own layer.
    layer             jsonb NOT NULL DEFAULT '{}',
    binding_id        uuid CONSTRAINT device_configs_binding REFERENCES bindings (id),
    updated_at        timestamptz NOT NULL,
    -- The configuration of version - 1: a box may still acknowledge that one.
    previous          jsonb,
    applied_version   bigint,
    -- What the box last reported as applied.
    reported_version  bigint,
    reported          jsonb,
    rejected_version  bigint,
    rejected_reason   text,
    acked_at          timestamptz,
    -- The newest version that could not be sent to the box, and why.
    failed_version    bigint,
    failed_reason     text,
    push_requested    boolean NOT NULL DEFAULT false,
    attempts          int NOT NULL DEFAULT 0,
    next_attempt_at   timestamptz NOT NULL,
    CONSTRAINT device_configs_failed_for_a_reason CHECK ((failed_version IS NULL) = (failed_reason IS NULL))
);
-- Boxes that do not have their configuration yet: few, and searched for twice a second.
CREATE INDEX device_configs_unapplied ON device_configs (updated_at DESC, device_id DESC)
    WHERE applied_version IS DISTINCT FROM version;
CREATE INDEX device_configs_requested ON device_configs (device_id) WHERE push_requested;
