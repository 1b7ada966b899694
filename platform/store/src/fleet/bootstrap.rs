//! Which boxes may ask for their settings now.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::DeviceId;

/// For how long, and how often, a box may ask for its settings.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Bootstrap {
    /// The box.
    pub device_id: DeviceId,
    /// Until when.
    pub open_until: DateTime<Utc>,
    /// How often still.
    pub calls_left: i32,
    /// When it last did.
    pub last_call_at: Option<DateTime<Utc>>,
    /// From where.
    pub last_address: Option<String>,
}

/// Opens it for a box, or changes for how long.
pub async fn open(
    conn: &mut PgConnection,
    device_id: DeviceId,
    open_until: DateTime<Utc>,
    calls: i32,
    by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Bootstrap> {
    sqlx::query_as!(
        Bootstrap,
        r#"INSERT INTO device_bootstraps (device_id, open_until, calls_left, opened_by, opened_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (device_id) DO UPDATE SET open_until = excluded.open_until, calls_left = excluded.calls_left,
               opened_by = excluded.opened_by, opened_at = excluded.opened_at
           RETURNING device_id AS "device_id: DeviceId", open_until, calls_left, last_call_at, last_address"#,
        device_id as _,
        open_until,
        calls,
        by,
        now
    )
    .fetch_one(conn)
    .await
}

/// Counts a call; `false` when none is allowed now. The caller holds the device's lock.
pub async fn call(
    conn: &mut PgConnection,
    device_id: DeviceId,
    address: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE device_bootstraps SET calls_left = calls_left - 1, last_call_at = $2, last_address = $3
         WHERE device_id = $1 AND open_until > $2 AND calls_left > 0",
        device_id as _,
        now,
        address
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}
