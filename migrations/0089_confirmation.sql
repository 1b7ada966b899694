-- A box that cannot say `played` ends its notification with `received`: nothing better will come. Its rows are final
-- then; those of other boxes wait for `played` after `received`.
ALTER TABLE notifications ADD COLUMN is_final boolean NOT NULL DEFAULT false;

-- The expression of a generated column cannot be changed, so it is made again, and with it the two indexes that have it
-- in their condition, for the same queries as before: what is due to a box in its order, and what ends because its time
-- is over.
DROP INDEX notifications_open;
DROP INDEX notifications_ending;
ALTER TABLE notifications DROP COLUMN is_open;
ALTER TABLE notifications
    ADD COLUMN is_open boolean NOT NULL
        GENERATED ALWAYS AS (status IN ('pending', 'sent', 'received') AND NOT is_final) STORED;
CREATE UNIQUE INDEX notifications_open ON notifications (device_id, sequence) WHERE is_open;
CREATE INDEX notifications_ending ON notifications (announce_until) WHERE is_open;
