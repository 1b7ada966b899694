//! MQTT sessions, as far as they must outlive a connection.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::DeviceId;

/// A session right after its CONNECT was admitted.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The new epoch.
    pub epoch: i64,
    /// The subscriptions of a kept session; absent when there was none to continue.
    pub kept: Option<Value>,
}

/// The session part of a CONNECT.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// The box.
    pub device_id: DeviceId,
    /// The platform process that holds the connection.
    pub node: &'a str,
    /// Whether the session outlives the connection.
    pub persistent: bool,
    /// Whether an earlier session is to be forgotten.
    pub clean_start: bool,
    /// The certificate it was opened with.
    pub certificate_serial: &'a str,
    /// How long it is kept after its connection ended, seconds.
    pub expiry_s: i64,
}

/// Raises the epoch and resumes the kept session.
pub async fn open(
    conn: &mut PgConnection,
    opening: &Opening<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Opened> {
    let before = sqlx::query!(
        "SELECT persistent, subscriptions, expires_at, connected FROM sessions WHERE device_id = $1 FOR UPDATE",
        opening.device_id as _
    )
    .fetch_optional(&mut *conn)
    .await?;
    let kept = before
        .filter(|session| {
            !opening.clean_start
                && session.persistent
                && (session.connected || session.expires_at.is_none_or(|at| at > now))
        })
        .map(|session| session.subscriptions);
    let subscriptions = kept.clone().unwrap_or_else(|| Value::Array(Vec::new()));
    let epoch = sqlx::query_scalar!(
        "INSERT INTO sessions (device_id, epoch, node, connected, persistent, subscriptions, certificate_serial, connected_at, session_expiry_s)
         VALUES ($1, 1, $2, true, $3, $4, $5, $6, $7)
         ON CONFLICT (device_id) DO UPDATE SET epoch = sessions.epoch + 1, node = $2, connected = true, persistent = $3,
             subscriptions = $4, certificate_serial = $5, connected_at = $6, session_expiry_s = $7,
             ended_at = NULL, end_reason = NULL, expires_at = NULL
         RETURNING epoch",
        opening.device_id as _,
        opening.node,
        opening.persistent,
        subscriptions,
        opening.certificate_serial,
        now,
        opening.expiry_s
    )
    .fetch_one(conn)
    .await?;
    Ok(Opened { epoch, kept })
}

/// Keeps the subscriptions of a session; `false` when it is no longer the current one.
pub async fn set_subscriptions(
    conn: &mut PgConnection,
    device_id: DeviceId,
    epoch: i64,
    subscriptions: &Value,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE sessions SET subscriptions = $3 WHERE device_id = $1 AND epoch = $2",
        device_id as _,
        epoch,
        subscriptions
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// How the connection of a session ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The box.
    pub device_id: DeviceId,
    /// Which of its sessions.
    pub epoch: i64,
    /// Nothing of the session is to be kept.
    pub forget: bool,
    /// Session expiry interval of the DISCONNECT, seconds, if it had one.
    pub expiry_s: Option<u32>,
    /// Why, in one word.
    pub reason: &'a str,
}

/// Ends the connection of a session; `false` when a newer connection has taken its place.
pub async fn end(
    conn: &mut PgConnection,
    ending: &Ending<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE sessions SET connected = false, ended_at = $3::timestamptz, end_reason = $4, persistent = persistent AND NOT $5,
             subscriptions = CASE WHEN persistent AND NOT $5 THEN subscriptions ELSE '[]'::jsonb END,
             session_expiry_s = coalesce($6, session_expiry_s),
             expires_at = $3::timestamptz + make_interval(secs => coalesce($6, session_expiry_s)::double precision)
         WHERE device_id = $1 AND epoch = $2 AND connected",
        ending.device_id as _,
        ending.epoch,
        now,
        ending.reason,
        ending.forget,
        ending.expiry_s.map(i64::from)
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends up to `limit` sessions whose expiry interval is over. Their rows stay, because they hold the epochs.
pub async fn forget_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE sessions SET persistent = false, subscriptions = '[]'::jsonb
         WHERE device_id = ANY(ARRAY(
             SELECT device_id FROM sessions WHERE persistent AND NOT connected AND expires_at <= $1
             LIMIT $2 FOR UPDATE SKIP LOCKED))",
        now,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Ends the sessions that an earlier process of this node left connected, and shows their boxes as offline.
pub async fn end_leftovers(
    conn: &mut PgConnection,
    node: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "WITH left_over AS (
             SELECT device_id FROM sessions WHERE node = $1 AND connected ORDER BY device_id FOR UPDATE),
         ended AS (
             UPDATE sessions s SET connected = false, ended_at = $2::timestamptz, end_reason = 'platform_restart',
                 expires_at = $2::timestamptz + make_interval(secs => session_expiry_s::double precision)
             FROM left_over l WHERE s.device_id = l.device_id RETURNING s.device_id),
         there AS (
             SELECT p.device_id FROM device_presence p JOIN ended e USING (device_id) JOIN devices d ON d.id = e.device_id
             WHERE p.online AND d.communication_mode = 'mqtt' ORDER BY p.device_id FOR UPDATE OF p),
         offline AS (
             UPDATE device_presence p SET online = false FROM there t WHERE p.device_id = t.device_id
             RETURNING p.device_id)
         INSERT INTO device_events (device_id, at, kind, details)
         SELECT device_id, $2::timestamptz, 'offline', '{\"reason\": \"platform_restart\"}'::jsonb FROM offline",
        node,
        now
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected())
}
