//! The outbox: notifications, configurations and commands, from the database to the broker.
//!
//! One task for each of the three. Commits and sessions that became reachable wake it, and a timer does so often enough
//! that a lost wake-up costs half a second. Each round reads the rows again, except for notifications that were committed
//! for a live session: these are handed over as they are. A message that was read is handed to the broker first and
//! marked as sent afterwards, so that a crash in between repeats it (the device recognises a repetition) and loses none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Downlink, Published, Undelivered};
use domain::alert::AlertSubject;
use domain::delivery::UndeliverableReason;
use service::batch::put_aside;
use service::outbox::{self, Deliverable, Sealed};
use service::signal::Committed;
use service::span::outbox_round;
use service::{Context, Result};
use store::fleet::command::DueCommand;
use store::fleet::config::DueConfig;
use store::payment::notification::DueNotification;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wire::ids::DeviceId;

use super::carrier::Carrier;
use super::delivery::Deliveries;
use super::puback::Pubacks;

/// How often a round runs without a wake-up.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How many devices one round serves.
const DEVICES_MAX: usize = 256;
/// How many devices with due messages one query finds.
const FOUND_MAX: i64 = 4096;
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Outbox<C> {
    context: Context,
    carrier: C,
    /// Held from reading messages that supersede each other to publishing them. Otherwise a replay and a change could
    /// overtake each other, and a device would receive the older configuration last.
    superseding: Arc<Mutex<()>>,
    deliveries: Arc<Deliveries>,
    pubacks: Arc<Pubacks>,
}

impl<C: Carrier> Outbox<C> {
    pub(super) fn new(
        context: Context,
        carrier: C,
        deliveries: Arc<Deliveries>,
        pubacks: Arc<Pubacks>,
    ) -> Self {
        Self {
            context,
            carrier,
            superseding: Arc::default(),
            deliveries,
            pubacks,
        }
    }

    /// Sends messages of one kind: new ones, and those that are due again. With `listening` also replays everything to
    /// devices that have just become reachable. Each kind has a task of its own, so that a notification never waits behind
    /// configurations or commands.
    pub(super) async fn run<R: Deliverable>(
        self,
        mut committed: mpsc::Receiver<Committed<R>>,
        mut listening: Option<mpsc::Receiver<DeviceId>>,
        stop: CancellationToken,
    ) {
        let mut checks = checks();
        let mut fresh = Vec::with_capacity(DEVICES_MAX);
        let mut reachable = Vec::with_capacity(DEVICES_MAX);
        loop {
            // select! picks at random among what is ready, so that no source starves the others.
            let worked = tokio::select! {
                () = stop.cancelled() => break,
                () = receive(Some(&mut committed), &mut fresh) => {
                    let round = outbox_round(R::NAME, "commit");
                    self.send_committed(&mut fresh).instrument(round).await
                }
                () = receive(listening.as_mut(), &mut reachable) => {
                    self.replay(&mut reachable).instrument(outbox_round("all", "session")).await
                }
                _ = checks.tick() => {
                    self.resend::<R>().instrument(outbox_round(R::NAME, "timer")).await
                }
            };
            if let Err(error) = worked {
                tracing::warn!(%error, "the outbox could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
        // The sessions have ended: what was committed for them is given back, for the node that has them now.
        while let Ok(one) = committed.try_recv() {
            fresh.push(one);
            if (fresh.len() >= DEVICES_MAX || committed.is_empty())
                && let Err(error) = self.send_committed(&mut fresh).await
            {
                tracing::warn!(%error, "messages could not be given back: they are sent when their next attempt is due");
                return;
            }
        }
    }

    /// Sends what was committed: rows as they are, for other devices what is due.
    async fn send_committed<R: Deliverable>(&self, fresh: &mut Vec<Committed<R>>) -> Result<()> {
        let (mut devices, mut rows) = (Vec::new(), Vec::new());
        for one in fresh.drain(..) {
            match one {
                Committed::Device(device_id) => devices.push(device_id),
                Committed::Row(row) => rows.push(row),
            }
        }
        // Without the lease, what is stored as sent is sent by the owner when its next attempt is due.
        if !rows.is_empty() && self.context.node().owns_sessions() {
            let handed = self.hand_over(outbox::committed(&self.context, rows).await);
            outbox::handed_over(&self.context, &handed.sent);
            self.put_off(&handed).await?;
        }
        self.send::<R>(&mut devices, false).await
    }

    /// Sends everything to devices that have just become reachable, also what is not due again yet.
    /// The configuration first: it names the binding, without which the device refuses a notification. Then
    /// notifications, then commands.
    async fn replay(&self, devices: &mut Vec<DeviceId>) -> Result<()> {
        let mut same = devices.clone();
        self.send::<DueConfig>(&mut same, true).await?;
        same.clone_from(devices);
        self.send::<DueNotification>(&mut same, true).await?;
        self.send::<DueCommand>(devices, true).await
    }

    /// Sends what is due again.
    async fn resend<R: Deliverable>(&self) -> Result<()> {
        let mut found = outbox::devices_with_due::<R>(&self.context, FOUND_MAX).await?;
        while !found.is_empty() {
            let mut some = found.split_off(found.len().saturating_sub(DEVICES_MAX));
            self.send::<R>(&mut some, false).await?;
        }
        Ok(())
    }

    /// Sends what is due to those of the devices that have a live session on this node. The others are served when they
    /// connect.
    async fn send<R: Deliverable>(&self, devices: &mut Vec<DeviceId>, all: bool) -> Result<()> {
        let owns = self.context.node().owns_sessions();
        let live: HashSet<DeviceId> = devices
            .drain(..)
            .filter(|device| owns && self.carrier.is_live(*device))
            .collect();
        if live.is_empty() {
            return Ok(());
        }
        let live: Vec<DeviceId> = live.into_iter().collect();
        let order = match R::SUPERSEDES {
            true => Some(self.superseding.lock().await),
            false => None,
        };
        let due = self.read::<R>(&live, all).await?;
        let handed = self.hand_over(due);
        drop(order);
        outbox::mark_sent(&self.context, &handed.sent).await?;
        self.put_off(&handed).await
    }

    /// Notes what was not sent.
    async fn put_off<R: Deliverable>(&self, handed: &HandedOver<R>) -> Result<()> {
        outbox::postpone(&self.context, &handed.queued).await?;
        outbox::give_back(&self.context, &handed.away).await?;
        for one in &handed.oversized {
            let problem = format!(
                "{} bytes, more than the device accepts (MQTT 5, Maximum Packet Size)",
                one.payload.len()
            );
            let reason = UndeliverableReason::PacketTooLarge;
            outbox::fail::<R>(&self.context, &one.header(), reason, &problem).await?;
        }
        Ok(())
    }

    /// What is due to these devices. When a row cannot be read, each device is read alone, and an alert names the one
    /// with that row.
    async fn read<R: Deliverable>(
        &self,
        devices: &[DeviceId],
        all: bool,
    ) -> Result<Vec<Sealed<R>>> {
        match outbox::due(&self.context, devices, all).await {
            Err(error) if error.is_of_the_item() => {}
            done => return done,
        }
        let mut due = Vec::new();
        for device_id in devices {
            match outbox::due(&self.context, &[*device_id], all).await {
                Ok(some) => due.extend(some),
                Err(error) if error.is_of_the_item() => {
                    let subject = AlertSubject::Device(*device_id);
                    put_aside(&self.context, "outbox", subject, &error).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    /// Hands messages to the broker and sorts them by the result.
    fn hand_over<R: Deliverable>(&self, due: Vec<Sealed<R>>) -> HandedOver<R> {
        let mut handed = HandedOver {
            sent: Vec::new(),
            queued: Vec::new(),
            away: Vec::new(),
            oversized: Vec::new(),
        };
        for one in due {
            let header = one.header();
            let key = one.key();
            let is_acknowledged = |key| self.pubacks.is_known(header.device_id, key);
            if one.is_vendors() && key.is_some_and(is_acknowledged) {
                handed.queued.push(one);
                continue;
            }
            self.deliveries.begin(one.traced());
            let published = self.carrier.publish(Downlink {
                device_id: header.device_id,
                channel: one.channel,
                payload: one.payload.clone(),
                key,
                expires_s: one.expires_s,
            });
            if let (Published::Refused(_), Some(refused)) = (published, one.traced()) {
                self.deliveries.forget(refused.event_id);
            }
            match published {
                Published::Sent => handed.sent.push(one),
                Published::Queued if key.is_none() => handed.sent.push(one),
                Published::Refused(Undelivered::PacketTooLarge) => handed.oversized.push(one),
                Published::Refused(Undelivered::NotConnected) => handed.away.push(one),
                Published::Queued | Published::Refused(_) => handed.queued.push(one),
            }
        }
        handed
    }
}

/// Messages that were handed to the broker, by the result.
struct HandedOver<R> {
    /// Written to the connection of the device, or next to be written. Also one in the session's queue that has no key by
    /// which the broker would recognise a repetition.
    sent: Vec<Sealed<R>>,
    /// Not sent yet: it is in the session's queue, or the device has not subscribed to it.
    queued: Vec<Sealed<R>>,
    /// Not sent: the session has ended meanwhile.
    away: Vec<Sealed<R>>,
    /// Can never be sent to this device.
    oversized: Vec<Sealed<R>>,
}

/// Receives what is there; without a receiver, or when its senders are gone, never returns.
async fn receive<T>(receiver: Option<&mut mpsc::Receiver<T>>, into: &mut Vec<T>) {
    if let Some(receiver) = receiver
        && receiver.recv_many(into, DEVICES_MAX).await > 0
    {
        return;
    }
    std::future::pending().await
}

fn checks() -> Interval {
    let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}
