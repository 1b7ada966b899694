//! Heartbeats: batches in, one presence update for each box, partitions by day. And the uplinks
//! that broke a rule.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::Page;

/// One heartbeat, as it arrived.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the fields of the message; times and levels as the box sent them"
)]
pub struct Beat {
    pub device_id: DeviceId,
    pub received_at: DateTime<Utc>,
    pub device_time: Option<String>,
    pub firmware_version: Option<String>,
    pub state: Option<String>,
    pub network_strength: Option<i16>,
    pub battery_level: Option<i16>,
    pub extras: Option<Value>,
    /// How far its clock was ahead of ours, milliseconds.
    pub clock_skew_ms: Option<i64>,
}

/// Stores a batch of heartbeats, and the state of each box by its last one.
pub async fn insert_batch(conn: &mut PgConnection, beats: &[Beat]) -> sqlx::Result<()> {
    let devices: Vec<DeviceId> = beats.iter().map(|beat| beat.device_id).collect();
    let received: Vec<DateTime<Utc>> = beats.iter().map(|beat| beat.received_at).collect();
    let times: Vec<Option<String>> = beats.iter().map(|beat| beat.device_time.clone()).collect();
    let firmware: Vec<Option<String>> = beats
        .iter()
        .map(|beat| beat.firmware_version.clone())
        .collect();
    let states: Vec<Option<String>> = beats.iter().map(|beat| beat.state.clone()).collect();
    let network: Vec<Option<i16>> = beats.iter().map(|beat| beat.network_strength).collect();
    let battery: Vec<Option<i16>> = beats.iter().map(|beat| beat.battery_level).collect();
    let skews: Vec<Option<i64>> = beats.iter().map(|beat| beat.clock_skew_ms).collect();
    let extras: Vec<Option<Value>> = beats.iter().map(|beat| beat.extras.clone()).collect();
    sqlx::query!(
        "INSERT INTO heartbeats (device_id, received_at, device_time, firmware_version, state, network_strength, battery_level, extras)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::int2[], $7::int2[], $8::jsonb[])",
        &devices as _,
        &received,
        &times as &[Option<String>],
        &firmware as &[Option<String>],
        &states as &[Option<String>],
        &network as &[Option<i16>],
        &battery as &[Option<i16>],
        &extras as &[Option<Value>],
    )
    .execute(&mut *conn)
    .await?;
    // In device order, so that two batches never wait for each other crosswise.
    sqlx::query!(
        "WITH beats AS (
             SELECT DISTINCT ON (device_id) * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::int2[], $6::int2[], $7::int8[])
                 AS b (device_id, received_at, firmware_version, state, network_strength, battery_level, clock_skew_ms)
             ORDER BY device_id, received_at DESC),
         locked AS (
             SELECT p.device_id FROM device_presence p JOIN beats USING (device_id) ORDER BY p.device_id FOR UPDATE OF p)
         UPDATE device_presence p SET last_seen_at = b.received_at,
             firmware_version = coalesce(b.firmware_version, p.firmware_version), state = coalesce(b.state, p.state),
             network_strength = coalesce(b.network_strength, p.network_strength),
             battery_level = coalesce(b.battery_level, p.battery_level), clock_skew_ms = b.clock_skew_ms
         FROM beats b JOIN locked l USING (device_id) WHERE p.device_id = b.device_id",
        &devices as _,
        &received,
        &firmware as &[Option<String>],
        &states as &[Option<String>],
        &network as &[Option<i16>],
        &battery as &[Option<i16>],
        &skews as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A beat, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "the fields of the message; `timestamp` is the box's own clock"
)]
#[schema(as = HeartbeatRecord)]
pub struct Heartbeat {
    pub device_id: DeviceId,
    pub received_at: DateTime<Utc>,
    pub timestamp: Option<String>,
    pub firmware_version: Option<String>,
    pub state: Option<String>,
    pub network_strength: Option<i16>,
    pub battery_level: Option<i16>,
    #[schema(value_type = Option<Object>)]
    pub extras: Option<Value>,
}

/// A box's beats that arrived in `from..to`, newest first. One box does not beat twice in a microsecond, so the time
/// of arrival alone is a beat's place in the list.
pub async fn list_of_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    page: Page,
) -> sqlx::Result<Vec<Heartbeat>> {
    sqlx::query_as!(
        Heartbeat,
        r#"SELECT device_id, received_at, device_time AS "timestamp", firmware_version, state, network_strength, battery_level, extras
         FROM heartbeats
         WHERE device_id = $1 AND received_at >= coalesce($2, '-infinity'::timestamptz)
           AND received_at < least(coalesce($3, 'infinity'::timestamptz), coalesce($4, 'infinity'::timestamptz))
         ORDER BY received_at DESC LIMIT $5"#,
        device_id as _,
        from,
        to,
        page.after_time(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Keeps an uplink that broke a rule.
pub async fn insert_rejected(
    conn: &mut PgConnection,
    device_id: DeviceId,
    channel: &str,
    payload: &[u8],
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO rejected_uplinks (device_id, channel, payload, reason, received_at) VALUES ($1, $2, $3, $4, $5)",
        device_id as _,
        channel,
        payload,
        reason,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
