//! Heartbeats, in batches; uplinks that broke a rule; and the partitions they live in.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::health::clock_skew_ms;
use wire::Channel;
use wire::ids::DeviceId;
use wire::message::Heartbeat;

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
        clock_skew_ms: clock_skew_ms(heartbeat.timestamp.as_deref(), received_at),
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
    let mut conn = context.lists().acquire().await?;
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
