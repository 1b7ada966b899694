-- What each box should be set to (with the binding it serves), and what it last said it is set to.
CREATE TABLE device_configs (
    device_id        uuid PRIMARY KEY CONSTRAINT device_configs_device REFERENCES devices (id),
    version          bigint NOT NULL,
    config           jsonb NOT NULL,
    binding_id       uuid CONSTRAINT device_configs_binding REFERENCES bindings (id),
    updated_at       timestamptz NOT NULL,
    applied_version  bigint,
    rejected_version bigint,
    rejected_reason  text,
    acked_at         timestamptz,
    attempts         int NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL
);
