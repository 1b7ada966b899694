//! The answer to a heartbeat over HTTP: the signed envelopes that the device would receive by MQTT.
//!
//! Whether an answer arrived is not known here. What is not acknowledged is sent again: notifications with each heartbeat
//! that comes later than [`ResendPolicy::first`] after the last answer. So a device that sends heartbeats misses no
//! payment that it could still announce, however many answers are lost.
//!
//! [`ResendPolicy::first`]: domain::announcement::ResendPolicy::first

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use store::fleet::command::DueCommand;
use store::fleet::config::DueConfig;
use store::payment::notification::DueNotification;
use tokio::time::Instant;
use utoipa::ToSchema;
use wire::Encoding;
use wire::ids::DeviceId;
use wire::message::Heartbeat;

use super::heartbeat::{beat, store_batch};
use super::long_poll::{LongPoll, WaitOutcome};
use crate::outbox::{self, Sealed};
use crate::{Context, Result};

/// How many devices one statement reads.
const DEVICES_MAX: usize = 4096;

/// What a box on HTTP is answered.
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
    /// Whether the device has not acknowledged that version.
    #[serde(skip)]
    config_is_due: bool,
}

impl Poll {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.notifications.is_empty() && !self.config_is_due
    }
}

/// The long poll of a request that may wait for up to `wait`; none when it does not wait, or at the limit. It begins
/// before the first read of the database, so that no commit in between is missed.
pub fn enter(context: &Context, device_id: DeviceId, wait: Duration) -> Option<LongPoll> {
    if wait.is_zero() {
        return None;
    }
    context.signals().long_polls().enter(device_id)
}

/// Stores a heartbeat over HTTP, and marks the device as online.
pub async fn take(context: &Context, device_id: DeviceId, heartbeat: Heartbeat) -> Result<()> {
    let now = context.clock().now();
    store_batch(context, &[beat(now, device_id, heartbeat)]).await?;
    let mut conn = context.pool().acquire().await?;
    store::fleet::presence::has_beaten(&mut conn, device_id, now).await?;
    Ok(())
}

/// What is due to a device: at once when there is something, otherwise as soon as there is, or at `deadline`. A wait
/// holds no connection to the database. `still_may` checks after a wait whether the device is still authenticated.
///
/// # Errors
/// Those of `still_may`.
pub async fn collect<F, A>(
    context: &Context,
    device_id: DeviceId,
    long_poll: Option<LongPoll>,
    deadline: Instant,
    still_may: F,
) -> Result<Poll>
where
    F: Fn() -> A,
    A: Future<Output = Result<()>>,
{
    loop {
        let due = read(context, device_id).await?;
        let Some(long_poll) = long_poll.as_ref().filter(|_| due.is_empty()) else {
            return Ok(due);
        };
        let waited = long_poll.wait(deadline).await;
        still_may().await?;
        if waited == WaitOutcome::Over {
            let server_time = context.clock().now();
            return Ok(Poll { server_time, ..due });
        }
    }
}

async fn read(context: &Context, device_id: DeviceId) -> Result<Poll> {
    let devices = [device_id];
    let json = Some(Encoding::Json);
    let due = outbox::due_as::<DueNotification>(context, &devices, false, json).await?;
    let notifications = raw(&due)?;
    outbox::mark_polled(context, &due).await?;
    let due = outbox::due_as::<DueCommand>(context, &devices, false, json).await?;
    let commands = raw(&due)?;
    outbox::mark_sent(context, &due).await?;
    let configs = outbox::due::<DueConfig>(context, &devices, false).await?;
    outbox::mark_sent(context, &configs).await?;
    let mut conn = context.pool().acquire().await?;
    let config_version = store::fleet::config::find(&mut conn, device_id)
        .await?
        .map_or(0, |desired| desired.version);
    Ok(Poll {
        server_time: context.clock().now(),
        commands,
        notifications,
        config_version,
        config_is_due: !configs.is_empty(),
    })
}

/// Signed envelopes, as they are.
fn raw<R>(sealed: &[Sealed<R>]) -> Result<Vec<Box<RawValue>>> {
    sealed
        .iter()
        .map(|one| serde_json::from_slice(&one.payload))
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| anyhow::Error::from(error).into())
}

/// Wakes the boxes that wait and have something due: what is due again, what another process committed, and
/// what a lost signal would have announced.
pub async fn wake_due(context: &Context) -> Result<()> {
    let waiting = context.signals().long_polls();
    let devices = waiting.devices();
    metrics::gauge!("long_polls_waiting").set(u32::try_from(devices.len()).unwrap_or(u32::MAX));
    for some in devices.chunks(DEVICES_MAX) {
        let now = context.clock().now();
        let mut conn = context.pool().acquire().await?;
        for device_id in store::fleet::long_poll::with_due(&mut conn, some, now).await? {
            waiting.wake(device_id);
        }
    }
    Ok(())
}
