//! The outbox: what boxes are to be told, from the database to the broker.
//!
//! One task for payments, one for configurations and one for orders, woken by commits and by sessions that became
//! reachable, and by themselves often enough that a lost wake-up costs half a second. They re-read the rows each time;
//! handing them to the broker comes first and noting that comes after, so that a crash in between repeats an
//! announcement (which the box recognises) and never loses one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Downlink, Published, Undelivered};
use domain::alert::AlertSubject;
use domain::delivery::UndeliverableReason;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use wire::Channel;
use wire::ids::DeviceId;

use super::carrier::Carrier;
use crate::service::batch::put_aside;
use crate::service::fleet::undeliverable::{self, Message, Undeliverable};
use crate::service::fleet::{command, config};
use crate::service::payment::notification;
use crate::service::{Context, Result};

/// How often the outbox looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many boxes are served at once.
const DEVICES_MAX: usize = 256;
/// How many boxes one look may find.
const FOUND_MAX: i64 = 4096;
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Outbox<C> {
    context: Context,
    carrier: C,
    /// Held from reading configurations to publishing them: a replay and a change would else pass each other, and the
    /// older configuration would be the last that a box hears.
    configs: Arc<Mutex<()>>,
}

impl<C: Carrier> Outbox<C> {
    pub(super) fn new(context: Context, carrier: C) -> Self {
        Self {
            context,
            carrier,
            configs: Arc::default(),
        }
    }

    /// Announces payments: fresh ones, those that a box missed while it was away, and those that are to be sent again.
    pub(super) async fn announce(
        self,
        mut paid: mpsc::Receiver<DeviceId>,
        mut listening: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut look = looks();
        let mut fresh = Vec::with_capacity(DEVICES_MAX);
        let mut reachable = Vec::with_capacity(DEVICES_MAX);
        loop {
            // Whichever is ready, at random: a storm of one kind never starves the others.
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = paid.recv_many(&mut fresh, DEVICES_MAX) => self.send_notifications(&mut fresh, false).await,
                _ = listening.recv_many(&mut reachable, DEVICES_MAX) => self.replay(&mut reachable).await,
                _ = look.tick() => self.resend_notifications().await,
            };
            pause_after(worked).await;
        }
    }

    /// Pushes configurations, in a task of its own: a payment never waits behind them.
    pub(super) async fn configure(
        self,
        mut changed: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut look = looks();
        let mut devices = Vec::with_capacity(DEVICES_MAX);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = changed.recv_many(&mut devices, DEVICES_MAX) => self.push_configs(&mut devices, false).await,
                _ = look.tick() => self.push_configs_again().await,
            };
            pause_after(worked).await;
        }
    }

    /// Sends orders, in a task of its own for the same reason.
    pub(super) async fn command(
        self,
        mut ordered: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut look = looks();
        let mut devices = Vec::with_capacity(DEVICES_MAX);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = ordered.recv_many(&mut devices, DEVICES_MAX) => self.send_commands(&mut devices, false).await,
                _ = look.tick() => self.resend_commands().await,
            };
            pause_after(worked).await;
        }
    }

    /// Everything a box that has just become reachable is to be told, also what is not due again yet.
    /// The configuration first: it names the binding, without which the box refuses a payment. Then the money, then
    /// orders.
    async fn replay(&self, devices: &mut Vec<DeviceId>) -> Result<()> {
        let mut same = devices.clone();
        self.push_configs(&mut same, true).await?;
        same.clone_from(devices);
        self.send_notifications(&mut same, true).await?;
        self.send_commands(devices, true).await
    }

    /// What is due to these boxes. When a row cannot be read, each box is asked about alone, and an alert names the one
    /// with that row.
    async fn read<S, F>(
        &self,
        devices: &[DeviceId],
        due: impl Fn(Vec<DeviceId>) -> F,
    ) -> Result<Vec<S>>
    where
        F: Future<Output = Result<Vec<S>>>,
    {
        match due(devices.to_vec()).await {
            Err(error) if error.is_of_the_item() => {}
            done => return done,
        }
        let mut all = Vec::new();
        for device_id in devices {
            match due(vec![*device_id]).await {
                Ok(some) => all.extend(some),
                Err(error) if error.is_of_the_item() => {
                    let subject = AlertSubject::Device(*device_id);
                    put_aside(&self.context, "outbox", subject, &error).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn send_notifications(&self, devices: &mut Vec<DeviceId>, all: bool) -> Result<()> {
        let Some(devices) = self.take_live(devices) else {
            return Ok(());
        };
        let due =
            |some: Vec<DeviceId>| async move { notification::due(&self.context, &some, all).await };
        let sends = self.read(&devices, due).await?;
        let handed = self.hand_over(sends, |send| {
            let downlink = Downlink {
                device_id: send.device_id,
                channel: Channel::PaymentSuccess,
                payload: send.payload.clone(),
                key: Some(send.event_id.as_uuid()),
                expires_s: Some(send.expires_s),
            };
            (downlink, Message::Notification(send.event_id))
        });
        notification::mark_sent(&self.context, &handed.sent).await?;
        notification::postpone(&self.context, &handed.waiting).await?;
        self.end_oversized(&handed.oversized).await
    }

    async fn send_commands(&self, devices: &mut Vec<DeviceId>, all: bool) -> Result<()> {
        let Some(devices) = self.take_live(devices) else {
            return Ok(());
        };
        let due =
            |some: Vec<DeviceId>| async move { command::due(&self.context, &some, all).await };
        let sends = self.read(&devices, due).await?;
        let handed = self.hand_over(sends, |send| {
            let downlink = Downlink {
                device_id: send.device_id,
                channel: Channel::Command,
                payload: send.payload.clone(),
                key: Some(send.id.as_uuid()),
                expires_s: Some(send.expires_s),
            };
            (downlink, Message::Command(send.id))
        });
        command::mark_sent(&self.context, &handed.sent).await?;
        command::postpone(&self.context, &handed.waiting).await?;
        self.end_oversized(&handed.oversized).await
    }

    async fn push_configs(&self, devices: &mut Vec<DeviceId>, all: bool) -> Result<()> {
        let Some(devices) = self.take_live(devices) else {
            return Ok(());
        };
        let ordered = self.configs.lock().await;
        let due = |some: Vec<DeviceId>| async move { config::due(&self.context, &some, all).await };
        let pushes = self.read(&devices, due).await?;
        let handed = self.hand_over(pushes, |push| {
            let downlink = Downlink {
                device_id: push.device_id,
                channel: Channel::ConfigPush,
                payload: push.payload.clone(),
                key: None,
                expires_s: None,
            };
            (downlink, Message::Config(push.version))
        });
        drop(ordered);
        config::mark_sent(&self.context, &handed.sent).await?;
        config::postpone(&self.context, &handed.waiting).await?;
        self.end_oversized(&handed.oversized).await
    }

    /// Hands messages to the broker, and sorts them by what becomes of them.
    fn hand_over<S>(
        &self,
        sends: Vec<S>,
        describe: impl Fn(&S) -> (Downlink, Message),
    ) -> HandedOver<S> {
        let mut handed = HandedOver::default();
        for send in sends {
            let (downlink, message) = describe(&send);
            let (device_id, bytes) = (downlink.device_id, downlink.payload.len());
            match self.carrier.publish(downlink) {
                Published::Sent => handed.sent.push(send),
                Published::Queued if matches!(message, Message::Config(_)) => {
                    handed.sent.push(send);
                }
                Published::Refused(Undelivered::PacketTooLarge) => {
                    handed.oversized.push(Undeliverable {
                        device_id,
                        message,
                        reason: UndeliverableReason::PacketTooLarge,
                        problem: format!(
                            "{bytes} bytes, more than the box takes (MQTT 5, Maximum Packet Size)"
                        ),
                    });
                }
                Published::Queued | Published::Refused(_) => handed.waiting.push(send),
            }
        }
        handed
    }

    /// Ends messages that are larger than their boxes take.
    async fn end_oversized(&self, oversized: &[Undeliverable]) -> Result<()> {
        for one in oversized {
            undeliverable::fail(&self.context, one).await?;
        }
        Ok(())
    }

    /// Those with a live session here, once each. The others are told when they come.
    fn take_live(&self, devices: &mut Vec<DeviceId>) -> Option<Vec<DeviceId>> {
        let live: HashSet<DeviceId> = devices
            .drain(..)
            .filter(|device| self.carrier.is_live(*device))
            .collect();
        (!live.is_empty()).then(|| live.into_iter().collect())
    }

    async fn resend_notifications(&self) -> Result<()> {
        let mut found = notification::devices_with_due(&self.context, FOUND_MAX).await?;
        while !found.is_empty() {
            let mut some = found.split_off(found.len().saturating_sub(DEVICES_MAX));
            self.send_notifications(&mut some, false).await?;
        }
        Ok(())
    }

    async fn resend_commands(&self) -> Result<()> {
        let mut found = command::devices_with_due(&self.context, FOUND_MAX).await?;
        while !found.is_empty() {
            let mut some = found.split_off(found.len().saturating_sub(DEVICES_MAX));
            self.send_commands(&mut some, false).await?;
        }
        Ok(())
    }

    async fn push_configs_again(&self) -> Result<()> {
        let mut found = config::devices_with_due(&self.context, FOUND_MAX).await?;
        while !found.is_empty() {
            let mut some = found.split_off(found.len().saturating_sub(DEVICES_MAX));
            self.push_configs(&mut some, false).await?;
        }
        Ok(())
    }
}

/// What became of messages that were handed to the broker.
struct HandedOver<S> {
    /// Written to the connection of its box, or next in line. Also a configuration that waits in the session's queue: it
    /// has no key by which the broker would recognise it.
    sent: Vec<S>,
    /// Nothing was sent yet: it waits in the session's queue, or the box has not subscribed to it.
    waiting: Vec<S>,
    /// It can never be sent to this box.
    oversized: Vec<Undeliverable>,
}

impl<S> Default for HandedOver<S> {
    fn default() -> Self {
        Self {
            sent: Vec::new(),
            waiting: Vec::new(),
            oversized: Vec::new(),
        }
    }
}

fn looks() -> Interval {
    let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look
}

async fn pause_after(worked: Result<()>) {
    if let Err(error) = worked {
        tracing::warn!(%error, "the outbox could not be read");
        tokio::time::sleep(PAUSE).await;
    }
}
