-- A payment writes a notification, and a box then acknowledges it twice. Postgres checks a foreign key with a query of its
-- own, and writes each row version into every index unless no indexed column has changed (a HOT update).

-- The ids come from rows that the same database transaction has read, and none of these rows is ever deleted.
ALTER TABLE notifications
    DROP CONSTRAINT notifications_device,
    DROP CONSTRAINT notifications_binding,
    DROP CONSTRAINT notifications_transaction;

-- Indexes have these columns in their conditions instead of the status, so that `received` after `sent` can be a
-- HOT update, where the page has room; the end of an announcement changes them and is none.
ALTER TABLE notifications
    ADD COLUMN is_open boolean NOT NULL GENERATED ALWAYS AS (status IN ('pending', 'sent', 'received')) STORED,
    ADD COLUMN is_unheard boolean NOT NULL GENERATED ALWAYS AS (status IN ('failed', 'stale') AND NOT replay) STORED;

-- What is due to a box, in its order. Unique among open ones: numbers are taken under the lock of the box's row in
-- notification_sequences, and a number that was given twice would be seen here.
DROP INDEX notifications_open;
CREATE UNIQUE INDEX notifications_open ON notifications (device_id, sequence) WHERE is_open;
ALTER TABLE notifications DROP CONSTRAINT notifications_sequence_unique;
-- What ends because its time is over.
DROP INDEX notifications_ending;
CREATE INDEX notifications_ending ON notifications (announce_until) WHERE is_open;
-- Payments that a box failed to announce or received too late: few, so this costs a payment nothing.
DROP INDEX notifications_unheard;
CREATE INDEX notifications_unheard ON notifications (created_at) WHERE is_unheard;
