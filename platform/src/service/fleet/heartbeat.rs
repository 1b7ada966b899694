//! Heartbeats, in batches; uplinks that broke a rule; and the partitions they live in.

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use wire::ids::DeviceId;
use wire::message::Heartbeat;
use wire::{Channel, Encoding};

use crate::service::fleet::command;
use crate::service::payment::notification;
use crate::service::{Context, Error, Noun, Result};
use crate::store::fleet::heartbeat::Beat;
use crate::store::{self, Page};

/// Partitions are made this many days ahead.
const DAYS_AHEAD: i32 = 4;
/// The largest part of a rejected uplink that is kept, bytes.
const REJECTED_BYTES_MAX: usize = 4096;

/// A beat as it is stored: the time is that of its arrival; the box's own clock is only data.
pub fn beat(received_at: DateTime<Utc>, device_id: DeviceId, heartbeat: Heartbeat) -> Beat {
    Beat {
        device_id,
        received_at,
        device_time: heartbeat.timestamp,
        firmware_version: Some(heartbeat.firmware_version),
        state: Some(heartbeat.state),
        network_strength: heartbeat.network_strength.map(i16::from),
        battery_level: heartbeat.battery_level.map(i16::from),
        extras: (!heartbeat.extras.is_empty()).then(|| heartbeat.extras.to_value()),
    }
}

/// Stores a batch in one transaction.
///
/// # Errors
/// The database's; then none of them is stored.
pub async fn store_batch(context: &Context, beats: &[Beat]) -> Result<()> {
    let mut tx = context.transaction().await?;
    store::fleet::heartbeat::insert_batch(&mut tx, beats).await?;
    tx.commit().await?;
    Ok(())
}

/// What a box on HTTP is answered: what it would have heard by MQTT, in the same signed envelopes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeartbeatAnswer)]
pub struct Poll {
    /// By the platform's clock.
    pub server_time: DateTime<Utc>,
    /// Commands that wait for it.
    #[schema(value_type = Vec<Object>)]
    pub commands: Vec<Box<RawValue>>,
    /// Payments to announce, in sequence order.
    #[schema(value_type = Vec<Object>)]
    pub notifications: Vec<Box<RawValue>>,
    /// The version of the configuration that it should have.
    pub config_version: i64,
}

/// Takes a beat over HTTP and answers with what is due to the box.
///
/// # Errors
/// The database's.
pub async fn poll(context: &Context, device_id: DeviceId, heartbeat: Heartbeat) -> Result<Poll> {
    let now = context.clock().now();
    store_batch(context, &[beat(now, device_id, heartbeat)]).await?;
    let sends = notification::due_as(context, &[device_id], false, Some(Encoding::Json)).await?;
    let notifications = raw(sends.iter().map(|send| &send.payload))?;
    notification::mark_sent(context, &sends).await?;
    let orders = command::due_as(context, &[device_id], false, Some(Encoding::Json)).await?;
    let commands = raw(orders.iter().map(|order| &order.payload))?;
    command::mark_sent(context, &orders).await?;
    let mut conn = context.pool().acquire().await?;
    let config_version = store::fleet::config::find(&mut conn, device_id)
        .await?
        .map_or(0, |desired| desired.version);
    Ok(Poll {
        server_time: now,
        commands,
        notifications,
        config_version,
    })
}

/// Signed envelopes, as they are.
fn raw<'a>(payloads: impl Iterator<Item = &'a Bytes>) -> Result<Vec<Box<RawValue>>> {
    payloads
        .map(|payload| serde_json::from_slice(payload))
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| anyhow::Error::from(error).into())
}

/// A box's beats that arrived in `from..to`, newest first.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn list_of_device(
    context: &Context,
    device_id: DeviceId,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    page: Page,
) -> Result<Vec<store::fleet::heartbeat::Heartbeat>> {
    let mut conn = context.pool().acquire().await?;
    store::fleet::device::find(&mut conn, device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    Ok(store::fleet::heartbeat::list_of_device(&mut conn, device_id, from, to, page).await?)
}

/// Keeps an uplink that broke a rule, so that somebody can see why it had no effect.
///
/// # Errors
/// The database's.
pub async fn reject(
    context: &Context,
    device_id: DeviceId,
    channel: Channel,
    payload: &[u8],
    reason: &str,
) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    let kept = &payload[..payload.len().min(REJECTED_BYTES_MAX)];
    store::fleet::heartbeat::insert_rejected(
        &mut conn,
        device_id,
        channel.path(),
        kept,
        reason,
        context.clock().now(),
    )
    .await?;
    metrics::counter!("uplinks_rejected_total", "channel" => channel.path()).increment(1);
    Ok(())
}

/// Makes the partitions of the coming days and drops those past their retention.
///
/// # Errors
/// The database's.
pub async fn maintain_partitions(context: &Context, retention_days: u32) -> Result<()> {
    let today = context.clock().now().date_naive();
    let oldest: NaiveDate = today - TimeDelta::days(i64::from(retention_days));
    let mut conn = context.pool().acquire().await?;
    // From yesterday on, for beats that were received just before midnight and stored just after.
    store::fleet::heartbeat::ensure_partitions(
        &mut conn,
        today - TimeDelta::days(1),
        DAYS_AHEAD + 1,
    )
    .await?;
    store::fleet::heartbeat::drop_partitions(&mut conn, oldest).await?;
    Ok(())
}
