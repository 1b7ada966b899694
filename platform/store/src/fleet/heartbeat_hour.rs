//! Hourly summaries of heartbeats: made once the hour is over, kept longer than the heartbeats.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::Page;

/// One hour of one box.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeartbeatHour {
    /// Which box.
    pub device_id: DeviceId,
    /// When the hour began; the hours of UTC.
    pub hour: DateTime<Utc>,
    /// How many beats arrived.
    pub beats: i32,
    /// Percent; null when no beat told.
    pub battery_min: Option<i16>,
    /// Percent, rounded.
    pub battery_avg: Option<i16>,
    /// Percent; null when no beat told.
    pub signal_min: Option<i16>,
    /// Percent, rounded.
    pub signal_avg: Option<i16>,
    /// The longest silence within the hour, its beginning and its end included, seconds.
    pub longest_gap_s: i32,
}

/// The last hour that is rolled up for every box.
pub async fn last_rolled(conn: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT max(hour) FROM heartbeat_rollups")
        .fetch_one(conn)
        .await
}

/// When the first box was registered: before that there are no heartbeats.
pub async fn first_device(conn: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT min(created_at) FROM devices")
        .fetch_one(conn)
        .await
}

/// Up to `limit` boxes, those after `after`.
pub async fn devices_after(
    conn: &mut PgConnection,
    after: DeviceId,
    limit: i64,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        "SELECT id FROM devices WHERE id > $1 ORDER BY id LIMIT $2",
        after as _,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Summarises one hour of these boxes; idempotent.
pub async fn roll_up(
    conn: &mut PgConnection,
    devices: &[DeviceId],
    hour: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO heartbeat_hours (device_id, hour, beats, battery_min, battery_avg, signal_min, signal_avg, longest_gap_s)
         SELECT device_id, hour, beats, battery_min, battery_avg, signal_min, signal_avg, longest_gap_s
         FROM heartbeat_hours_of($1, $2, $3, $3)
         ON CONFLICT (device_id, hour) DO UPDATE SET beats = excluded.beats, battery_min = excluded.battery_min,
             battery_avg = excluded.battery_avg, signal_min = excluded.signal_min, signal_avg = excluded.signal_avg,
             longest_gap_s = excluded.longest_gap_s",
        devices as _,
        hour,
        hour + TimeDelta::hours(1)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that an hour is summarised for every box.
pub async fn finish(
    conn: &mut PgConnection,
    hour: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO heartbeat_rollups (hour, rolled_at) VALUES ($1, $2) ON CONFLICT (hour) DO NOTHING",
        hour,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// From here on.
    pub from: Option<DateTime<Utc>>,
    /// Until before here.
    pub to: Option<DateTime<Utc>>,
}

/// A box's hours that began in `range`, newest first. Those from `rolled_until` on are made from the heartbeats.
pub async fn list_of_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    range: Range,
    rolled_until: DateTime<Utc>,
    now: DateTime<Utc>,
    page: Page,
) -> sqlx::Result<Vec<HeartbeatHour>> {
    sqlx::query_as!(
        HeartbeatHour,
        r#"SELECT device_id AS "device_id!", hour AS "hour!", beats AS "beats!", battery_min, battery_avg, signal_min,
                  signal_avg, longest_gap_s AS "longest_gap_s!"
           FROM (SELECT device_id, hour, beats, battery_min, battery_avg, signal_min, signal_avg, longest_gap_s
                 FROM heartbeat_hours WHERE device_id = $1 AND hour < $2
                 UNION ALL
                 SELECT device_id, hour, beats, battery_min, battery_avg, signal_min, signal_avg, longest_gap_s
                 FROM heartbeat_hours_of(ARRAY[$1::uuid], $2, 'infinity', $3)) h
           WHERE hour >= coalesce($4, '-infinity'::timestamptz)
             AND hour < least(coalesce($5, 'infinity'::timestamptz), coalesce($6, 'infinity'::timestamptz))
           ORDER BY hour DESC LIMIT $7"#,
        device_id as _,
        rolled_until,
        now,
        range.from,
        range.to,
        page.after_time(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Forgets up to `limit` hours from before `before`.
pub async fn forget(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM heartbeat_hours WHERE (device_id, hour) IN (
             SELECT device_id, hour FROM heartbeat_hours WHERE hour < $1 LIMIT $2)",
        before,
        limit
    )
    .execute(&mut *conn)
    .await?;
    // The newest line is where the next run continues, and stays.
    sqlx::query!(
        "DELETE FROM heartbeat_rollups WHERE hour < $1 AND hour < (SELECT max(hour) FROM heartbeat_rollups)",
        before
    )
    .execute(conn)
    .await?;
    Ok(())
}
