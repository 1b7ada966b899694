//! Heartbeats, in batches; and uplinks that broke a rule.

use chrono::{DateTime, Utc};
use domain::health::clock_skew_ms;
use store::Page;
use store::fleet::heartbeat::Beat;
use wire::Channel;
use wire::ids::DeviceId;
use wire::message::Heartbeat;

use crate::fleet::device;
use crate::{Context, Result, partition};

/// The largest part of a rejected uplink that is kept, bytes.
const REJECTED_BYTES_MAX: usize = 2048;
/// The longest reason that is kept, characters.
const REASON_LEN_MAX: usize = 256;

/// A heartbeat as it is stored: with the time of its arrival; the device's own clock is only data. A number that cannot be
/// read is null, counted, and kept among the extras.
pub fn beat(received_at: DateTime<Utc>, device_id: DeviceId, heartbeat: Heartbeat) -> Beat {
    for field in Heartbeat::PERCENTAGES {
        if heartbeat.extras.get(field).is_some() {
            metrics::counter!("heartbeat_fields_odd_total", "field" => field).increment(1);
        }
    }
    Beat {
        device_id,
        received_at,
        clock_skew_ms: clock_skew_ms(heartbeat.timestamp.as_deref(), received_at),
        device_time: heartbeat.timestamp,
        firmware_version: heartbeat.firmware_version,
        state: heartbeat.state,
        network_strength: heartbeat.network_strength.map(i16::from),
        battery_level: heartbeat.battery_level.map(i16::from),
        extras: (!heartbeat.extras.is_empty()).then(|| heartbeat.extras.to_value()),
    }
}

/// Stores a batch in one transaction, all or none.
pub async fn store_batch(context: &Context, beats: &[Beat]) -> Result<()> {
    let mut tx = context.transaction().await?;
    store::fleet::heartbeat::insert_batch(&mut tx, beats).await?;
    tx.commit().await?;
    Ok(())
}

/// A device's heartbeats that arrived in `from..to`, newest first.
///
/// # Errors
/// [`crate::Noun::Device`] not found.
pub async fn list_of_device(
    context: &Context,
    device_id: DeviceId,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    page: Page,
) -> Result<Vec<store::fleet::heartbeat::Heartbeat>> {
    let mut conn = context.lists().acquire().await?;
    device::find(&mut conn, device_id).await?;
    Ok(store::fleet::heartbeat::list_of_device(&mut conn, device_id, from, to, page).await?)
}

/// Stores an uplink that broke a rule, so that an operator can see why it had no effect. Beyond the device's budget it is
/// only counted.
pub async fn reject(
    context: &Context,
    device_id: DeviceId,
    channel: Channel,
    payload: &[u8],
    reason: &str,
) -> Result<()> {
    metrics::counter!("uplinks_rejected_total", "channel" => channel.path()).increment(1);
    if context.rejected_uplinks().take(&device_id).is_err() {
        metrics::counter!("uplinks_rejected_dropped_total").increment(1);
        return Ok(());
    }
    partition::ensure_today(context).await?;
    let mut conn = context.pool().acquire().await?;
    let reason: String = reason.chars().take(REASON_LEN_MAX).collect();
    let kept = &payload[..payload.len().min(REJECTED_BYTES_MAX)];
    store::fleet::heartbeat::insert_rejected(
        &mut conn,
        device_id,
        channel.path(),
        kept,
        &reason,
        context.clock().now(),
    )
    .await?;
    Ok(())
}
