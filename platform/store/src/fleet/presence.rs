//! Presence: whether a box is there, and the history of its comings and goings.
//!
//! A box on MQTT is there while its session lives; one on HTTP while its last beat is younger than three of its
//! intervals. Whatever changes `online` writes the line of history in the same statement.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::Page;

/// A box has beaten over HTTP: one on HTTP is online by that. One on MQTT is online by its session alone.
pub async fn has_beaten(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH flipped AS (
             UPDATE device_presence p SET online = true
             FROM devices d WHERE d.id = p.device_id AND d.communication_mode = 'http' AND d.status = 'active'
               AND p.device_id = $1 AND NOT p.online
             RETURNING p.device_id)
         INSERT INTO device_events (device_id, at, kind) SELECT device_id, $2, 'online' FROM flipped",
        device_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks at a box whose way of communicating, or whose life, has just changed, and sets `online` by the rule that
/// holds for it now. `interval_s`: how often a box beats that was not told otherwise.
pub async fn judge(
    conn: &mut PgConnection,
    device_id: DeviceId,
    interval_s: i32,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH judged AS (
             SELECT d.id, d.status = 'active' AND CASE d.communication_mode
                    WHEN 'mqtt' THEN EXISTS (SELECT 1 FROM sessions s WHERE s.device_id = d.id AND s.connected)
                    ELSE p.last_seen_at IS NOT NULL
                         AND p.last_seen_at > $3::timestamptz - make_interval(secs => 3 * beat_interval_s(c.config, $2)) END AS online
             FROM devices d JOIN device_presence p ON p.device_id = d.id LEFT JOIN device_configs c ON c.device_id = d.id
             WHERE d.id = $1),
         flipped AS (
             UPDATE device_presence p SET online = j.online FROM judged j
             WHERE p.device_id = j.id AND p.online <> j.online
             RETURNING p.device_id, p.online)
         INSERT INTO device_events (device_id, at, kind, details)
         SELECT device_id, $3, CASE WHEN online THEN 'online' ELSE 'offline' END, '{\"reason\": \"changed_by_operator\"}'::jsonb
         FROM flipped",
        device_id as _,
        interval_s,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` boxes on HTTP that are shown as online and have missed three heartbeats.
pub async fn silent(
    conn: &mut PgConnection,
    interval_s: i32,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        "SELECT p.device_id FROM devices d
         JOIN device_presence p ON p.device_id = d.id AND p.online
         LEFT JOIN device_configs c ON c.device_id = d.id
         WHERE d.communication_mode = 'http'
           AND p.last_seen_at <= $2::timestamptz - make_interval(secs => 3 * beat_interval_s(c.config, $1))
         ORDER BY p.device_id LIMIT $3",
        interval_s,
        now,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Shows as offline up to `limit` boxes on HTTP that have missed three heartbeats, of these or of all; returns how many.
pub async fn end_silent(
    conn: &mut PgConnection,
    interval_s: i32,
    now: DateTime<Utc>,
    only: Option<&[DeviceId]>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH silent AS (
             SELECT p.device_id FROM devices d
             JOIN device_presence p ON p.device_id = d.id AND p.online
             LEFT JOIN device_configs c ON c.device_id = d.id
             WHERE d.communication_mode = 'http'
               AND p.last_seen_at <= $2::timestamptz - make_interval(secs => 3 * beat_interval_s(c.config, $1))
               AND ($4::uuid[] IS NULL OR p.device_id = ANY($4))
             ORDER BY p.device_id LIMIT $3 FOR UPDATE OF p SKIP LOCKED),
         flipped AS (
             UPDATE device_presence p SET online = false FROM silent s WHERE p.device_id = s.device_id
             RETURNING p.device_id)
         INSERT INTO device_events (device_id, at, kind, details)
         SELECT device_id, $2, 'offline', '{\"reason\": \"no_beat\"}'::jsonb FROM flipped",
        interval_s,
        now,
        limit,
        only as _
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// A line of a box's history.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceEvent {
    /// Its place in the history.
    #[serde(skip)]
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// `online`, `offline`, …
    pub kind: String,
    /// What is known besides, such as the reason.
    #[schema(value_type = Option<Object>)]
    pub details: Option<Value>,
}

/// A box's history, newest first. Lines are numbered; the page's id carries the number.
pub async fn events(
    conn: &mut PgConnection,
    device_id: DeviceId,
    kind: Option<&str>,
    page: Page,
) -> sqlx::Result<Vec<DeviceEvent>> {
    let before = page
        .after_id()
        .map(|id| i64::try_from(id.as_u128()).unwrap_or(i64::MAX));
    sqlx::query_as!(
        DeviceEvent,
        "SELECT id, at, kind, details FROM device_events
         WHERE device_id = $1 AND ($2::text IS NULL OR kind = $2) AND ($3::bigint IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
        device_id as _,
        kind,
        before,
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Forgets up to `limit` lines from before `before`.
pub async fn forget_events(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM device_events WHERE id = ANY(ARRAY(SELECT id FROM device_events WHERE at < $1 LIMIT $2))",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
