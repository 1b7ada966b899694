//! Presence: whether a box is there, and what its last beat said.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::DeviceId;

/// Sets whether a box is online; `true` when that changed.
///
/// # Errors
/// The database's.
pub async fn set_online(
    conn: &mut PgConnection,
    device_id: DeviceId,
    online: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE device_presence SET online = $2, last_seen_at = greatest(last_seen_at, $3) WHERE device_id = $1 AND online <> $2",
        device_id.as_uuid(),
        online,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Adds a line to a box's history.
///
/// # Errors
/// The database's.
pub async fn record_event(
    conn: &mut PgConnection,
    device_id: DeviceId,
    at: DateTime<Utc>,
    kind: &str,
    details: Option<Value>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO device_events (device_id, at, kind, details) VALUES ($1, $2, $3, $4)",
        device_id.as_uuid(),
        at,
        kind,
        details
    )
    .execute(conn)
    .await?;
    Ok(())
}
