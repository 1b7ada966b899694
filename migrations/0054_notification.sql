-- The outbox of notifications: which payments a box still has to announce.
CREATE TABLE notifications (
    event_id         uuid PRIMARY KEY,
    device_id        uuid NOT NULL CONSTRAINT notifications_device REFERENCES devices (id),
    sequence         bigint NOT NULL,
    binding_id       uuid NOT NULL CONSTRAINT notifications_binding REFERENCES bindings (id),
    transaction_id   uuid NOT NULL CONSTRAINT notifications_transaction REFERENCES transactions (id),
    merchant_name    text NOT NULL,
    amount           bigint NOT NULL CONSTRAINT notifications_amount_positive CHECK (amount > 0),
    paid_at          timestamptz NOT NULL,
    replay           boolean NOT NULL,
    status           text NOT NULL CONSTRAINT notifications_status_known CHECK (status IN
                     ('pending', 'sent', 'received', 'failed', 'stale', 'played')),
    reason           text,
    attempts         int NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    next_attempt_at  timestamptz NOT NULL,
    delayed_after    timestamptz NOT NULL,
    announce_until   timestamptz NOT NULL,
    sent_at          timestamptz,
    received_at      timestamptz,
    played_at        timestamptz,
    -- When the acknowledgement that ended it reached us; latency is measured against this.
    acked_at         timestamptz,
    CONSTRAINT notifications_sequence_unique UNIQUE (device_id, sequence)
) WITH (fillfactor = 80);
-- One notification of a payment for each box, also when callbacks race. A replay is another one on purpose.
CREATE UNIQUE INDEX notifications_once ON notifications (transaction_id, device_id) WHERE NOT replay;
CREATE INDEX notifications_open ON notifications (device_id, sequence) WHERE status IN ('pending', 'sent', 'received');
CREATE INDEX notifications_ending ON notifications (announce_until) WHERE status IN ('pending', 'sent', 'received');
CREATE INDEX notifications_by_device ON notifications (device_id, created_at DESC, event_id DESC);
-- Payments that a box failed to announce or received too late: few, so this costs a payment nothing.
CREATE INDEX notifications_unheard ON notifications (created_at) WHERE status IN ('failed', 'stale') AND NOT replay;
-- For statistics. Rows are inserted in the order of their time, so this index is a few pages.
CREATE INDEX notifications_by_time ON notifications USING brin (created_at);

-- The last sequence number of each box, in a row of its own, so that payments wait for each other only when they are for
-- the same box.
CREATE TABLE notification_sequences (
    device_id      uuid PRIMARY KEY CONSTRAINT notification_sequences_device REFERENCES devices (id),
    last_sequence  bigint NOT NULL
) WITH (fillfactor = 60);
