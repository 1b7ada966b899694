-- When the database was restored, or a replica was promoted, every process has to take another lease, and all sessions end
-- (service/database_origin.rs). That is not a flap of their boxes.
ALTER TABLE nodes DROP CONSTRAINT nodes_end_reason_known;
ALTER TABLE nodes ADD CONSTRAINT nodes_end_reason_known
    CHECK (end_reason IN ('stopped', 'lease_over', 'database_restored'));

CREATE OR REPLACE VIEW device_flips AS
    SELECT device_id, at FROM device_events
    WHERE kind IN ('online', 'offline')
      AND coalesce(details ->> 'reason', '') <> ALL ('{platform_restart,node_lost,server_moved,database_restored}');
