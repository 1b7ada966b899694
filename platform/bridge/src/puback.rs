//! PUBACKs of other makers' boxes, where a PUBACK is all that the box tells.
//!
//! It is stored as an acknowledgement, but the edge does not wait for that: until it is stored, its message is not sent
//! again, because such a box may announce whatever comes. What a dying process had not stored yet is sent again by the
//! next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::announcement::NotificationStatus;
use domain::box_profile::Confirmation;
use service::batch::{Outcome, Part, isolate};
use service::fleet::box_profile::VendorBox;
use service::fleet::{command, config};
use service::payment::notification;
use service::{Context, Result};
use store::payment::notification::Ack;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use wire::ids::{CommandId, DeviceId, EventId};
use wire::message::{CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus};

/// How many may wait to be stored.
const QUEUE_MAX: usize = 16_384;
/// How many are stored at once.
const BATCH_MAX: usize = 256;
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);
/// The reason of an acknowledgement that the box itself did not give.
const REASON: &str = "puback";

/// A message that a box's MQTT client has.
#[derive(Debug, Clone)]
struct Acknowledged {
    vendor: Arc<VendorBox>,
    key: Uuid,
}

/// How long a message that a PUBACK ended is remembered after that was stored: a round of the outbox that read it as open
/// before may hand it over until then.
const REMEMBERED: Duration = Duration::from_secs(30);

impl Acknowledged {
    /// Whether the message is never sent again, because its box says no more or would announce it twice.
    fn is_ended(&self) -> bool {
        self.vendor.profile.confirmation() == Confirmation::Puback
            || !self.vendor.profile.deduplicates()
    }
}

/// What has been acknowledged and is not stored yet, or was stored a moment ago.
#[derive(Debug)]
pub(super) struct Pubacks {
    /// With the time at which it was stored.
    known: Mutex<HashMap<(DeviceId, Uuid), Option<Instant>>>,
    sender: mpsc::Sender<Acknowledged>,
}

impl Pubacks {
    /// Starts the task that stores them.
    pub(super) fn start(
        context: Context,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let pubacks = Arc::new(Self {
            known: Mutex::default(),
            sender,
        });
        tasks.spawn(run(context, Arc::clone(&pubacks), receiver, stop.clone()));
        pubacks
    }

    /// Takes the PUBACK of a message with this key. Never blocks.
    pub(super) fn take(&self, vendor: Arc<VendorBox>, key: Uuid) {
        let place = (vendor.values.device_id, key);
        self.with(|known| known.insert(place, None));
        if self.sender.try_send(Acknowledged { vendor, key }).is_err() {
            // The box may hear the message again.
            self.with(|known| known.remove(&place));
            metrics::counter!("vendor_pubacks_lost_total").increment(1);
        }
    }

    /// Whether a message was acknowledged, and who reads the database may not see it yet.
    pub(super) fn is_known(&self, device_id: DeviceId, key: Uuid) -> bool {
        self.with(|known| known.contains_key(&(device_id, key)))
    }

    /// Notes that these were stored.
    fn note_stored(&self, batch: &mut Vec<Acknowledged>) {
        let now = Instant::now();
        self.with(|known| {
            for one in batch.drain(..) {
                let place = (one.vendor.values.device_id, one.key);
                // One that tells more than PUBACK is sent the message again until it does.
                if one.is_ended() {
                    known.insert(place, Some(now));
                } else {
                    known.remove(&place);
                }
            }
            known.retain(|_, stored| stored.is_none_or(|at| now - at < REMEMBERED));
        });
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut HashMap<(DeviceId, Uuid), Option<Instant>>) -> T,
    ) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn run(
    context: Context,
    pubacks: Arc<Pubacks>,
    mut queue: mpsc::Receiver<Acknowledged>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            received = queue.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
        }
        let mut waiting = store(&context, batch.clone()).await;
        while !waiting.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            waiting = store(&context, waiting).await;
        }
        pubacks.note_stored(&mut batch);
    }
}

/// Stores PUBACKs. The answer: those that the database was away for. What cannot be stored at all is logged and left out.
async fn store(context: &Context, batch: Vec<Acknowledged>) -> Vec<Acknowledged> {
    let (by_puback, mut others): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|one| one.vendor.profile.confirmation() == Confirmation::Puback);
    let acknowledge = |part: Part<Acknowledged>| async move {
        let acks: Vec<Ack> = part.iter().map(ack).collect();
        notification::acknowledge(context, context.payments(), &acks).await
    };
    let outcomes = isolate(by_puback.clone(), acknowledge).await;
    let mut waiting = Vec::new();
    for (one, outcome) in by_puback.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Done(true) | Outcome::Failed(_) => {}
            // No announcement of this box has this key.
            Outcome::Done(false) => others.push(one),
            Outcome::Unavailable => waiting.push(one),
        }
    }
    let mut others = others.into_iter();
    for one in others.by_ref() {
        match store_other(context, &one).await {
            Ok(()) => {}
            Err(error) if error.is_of_the_item() => {
                tracing::warn!(device_id = %one.vendor.values.device_id, %error, "a PUBACK could not be stored");
            }
            Err(error) => {
                tracing::warn!(%error, "PUBACKs could not be stored");
                waiting.push(one);
                break;
            }
        }
    }
    waiting.extend(others);
    waiting
}

/// The acknowledgement that the PUBACK of an announcement stands for.
fn ack(one: &Acknowledged) -> Ack {
    Ack {
        event_id: EventId::from_uuid(one.key),
        device_id: one.vendor.values.device_id,
        status: NotificationStatus::Received,
        played_at: None,
        reason: Some(REASON.to_owned()),
        is_final: true,
    }
}

/// A command, a configuration, or an announcement of which the box tells more than PUBACK.
async fn store_other(context: &Context, one: &Acknowledged) -> Result<()> {
    let device_id = one.vendor.values.device_id;
    if let Some(version) = config::version_of_key(device_id, one.key) {
        let ack = ConfigAck {
            version,
            status: ConfigAckStatus::Applied,
            reason: Some(REASON.to_owned()),
        };
        config::acknowledge(context, device_id, &ack).await?;
        return Ok(());
    }
    if !one.vendor.profile.deduplicates() {
        notification::keep_from_repeating(context, device_id, EventId::from_uuid(one.key)).await?;
    }
    if one.vendor.profile.acknowledges_commands() {
        return Ok(());
    }
    let ack = CommandAck {
        device_id,
        command_id: CommandId::from_uuid(one.key),
        status: CommandAckStatus::Delivered,
        reason: Some(REASON.to_owned()),
        result_payload: None,
    };
    command::acknowledge(context, device_id, &ack).await?;
    Ok(())
}
