-- Orders to boxes: queued → sent → delivered | failed | timeout | cancelled. An ended one stays ended.
CREATE TABLE commands (
    id               uuid PRIMARY KEY,
    device_id        uuid NOT NULL CONSTRAINT commands_device REFERENCES devices (id),
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
    -- What the box said after the end, when that was something else: kept as a fact, and no more.
    late_ack         jsonb,
    CONSTRAINT commands_ended_is_complete CHECK ((status IN ('queued', 'sent')) = (ended_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX commands_open ON commands (device_id, created_at, id) WHERE status IN ('queued', 'sent');
CREATE INDEX commands_ending ON commands (expires_at) WHERE status IN ('queued', 'sent');
CREATE INDEX commands_by_device ON commands (device_id, created_at DESC, id DESC);
