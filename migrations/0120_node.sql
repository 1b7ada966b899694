-- The processes that share this database, one row for each name. A process owns its MQTT sessions while it renews its
-- lease; whoever finds a lease over ends the process's sessions and takes over its work. Times are the database's,
-- because the clocks of the processes may differ.
CREATE SEQUENCE node_incarnations;
CREATE TABLE nodes (
    name           text PRIMARY KEY,
    -- A new number with each start, and with each lease after a lost one. No two are the same.
    incarnation    bigint NOT NULL CONSTRAINT nodes_incarnation_unique UNIQUE,
    version        text NOT NULL,
    -- The `application_name` of the process's connections.
    connections    text NOT NULL,
    -- The connection that renews the lease: when it is gone, the process is.
    backend_pid    int NOT NULL,
    backend_start  timestamptz,
    started_at     timestamptz NOT NULL,
    renewed_at     timestamptz NOT NULL,
    lease_until    timestamptz NOT NULL,
    draining       boolean NOT NULL DEFAULT false,
    ended_at       timestamptz,
    end_reason     text CONSTRAINT nodes_end_reason_known CHECK (end_reason IN ('stopped', 'lease_over')),
    CONSTRAINT nodes_end_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

-- Whose session it is. Null for one of a version that had no leases.
ALTER TABLE sessions ADD COLUMN incarnation bigint;

-- Who has taken it with a lease and has not noted yet what became of it: when that process ends, it is due at once.
ALTER TABLE webhook_deliveries ADD COLUMN taken_by bigint;
ALTER TABLE alert_messages ADD COLUMN taken_by bigint;
-- The same of payouts, in a table of its own: earlier versions read every column of theirs.
CREATE TABLE payout_takers (
    payout_id  uuid PRIMARY KEY CONSTRAINT payout_takers_payout REFERENCES payouts (id),
    taken_by   bigint NOT NULL
);

-- When boxes went online and offline by themselves. The end of a process does not count.
CREATE OR REPLACE VIEW device_flips AS
    SELECT device_id, at FROM device_events
    WHERE kind IN ('online', 'offline')
      AND coalesce(details ->> 'reason', '') <> ALL ('{platform_restart,node_lost,server_moved}');
