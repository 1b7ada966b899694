//! Boxes that wait in a long poll.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::DeviceId;

/// Those of `devices` for which something is due by `now`: an announcement, a command, a configuration.
pub async fn with_due(
    conn: &mut PgConnection,
    devices: &[DeviceId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        r#"SELECT due.device_id AS "device_id!: DeviceId" FROM (
               SELECT device_id FROM notifications
               WHERE is_open AND status <> 'received'
                 AND next_attempt_at <= $2 AND announce_until > $2 AND device_id = ANY($1)
               UNION
               SELECT device_id FROM commands
               WHERE status IN ('queued', 'sent') AND next_attempt_at <= $2 AND expires_at > $2 AND device_id = ANY($1)
               UNION
               SELECT device_id FROM device_configs
               WHERE next_attempt_at <= $2 AND applied_version IS DISTINCT FROM version
                 AND rejected_version IS DISTINCT FROM version AND failed_version IS DISTINCT FROM version
                 AND device_id = ANY($1)
           ) due JOIN devices d ON d.id = due.device_id WHERE d.status = 'active'"#,
        devices as _,
        now
    )
    .fetch_all(conn)
    .await
}
