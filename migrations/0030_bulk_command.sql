-- One command for many boxes. The boxes are chosen once, when it is made; they get theirs in the order of `position`.
CREATE TABLE bulk_commands (
    id               uuid PRIMARY KEY,
    command_type     text NOT NULL,
    payload          jsonb NOT NULL,
    expires_in_s     int NOT NULL,
    query            jsonb NOT NULL,
    rollout          jsonb NOT NULL,
    firmware_id      uuid CONSTRAINT bulk_commands_firmware REFERENCES firmwares (id),
    guard            jsonb,
    status           text NOT NULL CONSTRAINT bulk_commands_status_known CHECK (status IN
                     ('running', 'paused', 'aborted', 'cancelled', 'completed')),
    reason           text,
    target_count     int NOT NULL,
    skipped_count    int NOT NULL,
    -- How many targets have had their turn, and the step of the roll-out that they are in.
    released_count   int NOT NULL DEFAULT 0,
    step             int NOT NULL DEFAULT 0,
    next_release_at  timestamptz NOT NULL,
    -- What had ended and failed when it was last resumed: the operator who resumed it has seen that.
    ended_before     bigint NOT NULL DEFAULT 0,
    failed_before    bigint NOT NULL DEFAULT 0,
    resumed_at       timestamptz,
    -- What the guard last saw, and when.
    guard_seen       jsonb,
    guard_seen_at    timestamptz,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    CONSTRAINT bulk_commands_counted CHECK (released_count BETWEEN 0 AND target_count)
);
CREATE INDEX bulk_commands_open ON bulk_commands (id) WHERE ended_at IS NULL;
CREATE INDEX bulk_commands_newest ON bulk_commands (created_at DESC, id DESC);
CREATE INDEX bulk_commands_by_firmware ON bulk_commands (firmware_id, created_at DESC, id DESC) WHERE firmware_id IS NOT NULL;

CREATE TABLE bulk_command_targets (
    bulk_command_id  uuid NOT NULL CONSTRAINT bulk_command_targets_bulk REFERENCES bulk_commands (id),
    position         int NOT NULL,
    device_id        uuid NOT NULL CONSTRAINT bulk_command_targets_device REFERENCES devices (id),
    command_id       uuid CONSTRAINT bulk_command_targets_command REFERENCES commands (id),
    -- Why it got no command: 'capability', 'out_of_service', 'too_many_commands'.
    skipped          text,
    PRIMARY KEY (bulk_command_id, position),
    CONSTRAINT bulk_command_targets_once UNIQUE (bulk_command_id, device_id)
);

ALTER TABLE commands ADD CONSTRAINT commands_bulk FOREIGN KEY (bulk_command_id) REFERENCES bulk_commands (id);
