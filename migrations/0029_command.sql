-- Commands to boxes: queued → sent → delivered | failed | timeout | cancelled. The last four are final.
CREATE TABLE commands (
    id               uuid PRIMARY KEY,
    device_id        uuid NOT NULL CONSTRAINT commands_device REFERENCES devices (id),
    -- The bulk command that it is part of; the foreign key is in the file of bulk_commands.
    bulk_command_id  uuid,
    type             text NOT NULL,
    payload          jsonb NOT NULL,
    status           text NOT NULL CONSTRAINT commands_status_known CHECK (status IN
                     ('queued', 'sent', 'delivered', 'failed', 'timeout', 'cancelled')),
    reason           text,
    result_payload   jsonb,
    attempts         int NOT NULL DEFAULT 0,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    next_attempt_at  timestamptz NOT NULL,
    sent_at          timestamptz,
    acked_at         timestamptz,
    ended_at         timestamptz,
    -- An acknowledgement that arrived after the end and differs from it: recorded, without any effect.
    late_ack         jsonb,
    CONSTRAINT commands_ended_is_complete CHECK ((status IN ('queued', 'sent')) = (ended_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX commands_open ON commands (device_id, created_at, id) WHERE status IN ('queued', 'sent');
CREATE INDEX commands_ending ON commands (expires_at) WHERE status IN ('queued', 'sent');
CREATE INDEX commands_by_device ON commands (device_id, created_at DESC, id DESC);
-- A box gets one command of a bulk command, also when a process dies while it makes them.
CREATE UNIQUE INDEX commands_once_for_bulk ON commands (bulk_command_id, device_id) WHERE bulk_command_id IS NOT NULL;
CREATE INDEX commands_by_bulk ON commands (bulk_command_id, status) WHERE bulk_command_id IS NOT NULL;
