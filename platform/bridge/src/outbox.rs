//! The outbox: notifications, configurations and commands, from the database to the broker.
//!
//! One task for each of the three. Commits and sessions that became reachable wake it, and a timer does so often enough
//! that a lost wake-up costs half a second. Each round reads the rows again. A message is handed to the broker first and
//! marked as sent afterwards, so that a crash in between repeats it (the device recognises a repetition) and loses none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Downlink, Published, Undelivered};
use domain::alert::AlertSubject;
use domain::delivery::UndeliverableReason;
use service::batch::put_aside;
use service::fleet::undeliverable::{self, Message, Undeliverable};
use service::fleet::{command, config};
use service::payment::notification;
use service::span::outbox_round;
use service::{Context, Result};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wire::Channel;
use wire::ids::DeviceId;

use super::carrier::Carrier;

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
    /// Held from reading configurations to publishing them. Otherwise a replay and a change could overtake each other, and
    /// a device would receive the older configuration last.
    config_order: Arc<Mutex<()>>,
}

impl<C: Carrier> Outbox<C> {
    pub(super) fn new(context: Context, carrier: C) -> Self {
        Self {
            context,
            carrier,
            config_order: Arc::default(),
        }
    }

    /// Sends notifications: new ones, those that a device missed while it was away, and those that are due again.
    pub(super) async fn announce(
        self,
        mut paid: mpsc::Receiver<DeviceId>,
        mut listening: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut checks = checks();
        let mut fresh = Vec::with_capacity(DEVICES_MAX);
        let mut reachable = Vec::with_capacity(DEVICES_MAX);
        loop {
            // select! picks at random among what is ready, so that no source starves the others.
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = paid.recv_many(&mut fresh, DEVICES_MAX) => {
                    let round = outbox_round("notifications", "commit");
                    self.send_notifications(&mut fresh, false).instrument(round).await
                }
                _ = listening.recv_many(&mut reachable, DEVICES_MAX) => {
                    self.replay(&mut reachable).instrument(outbox_round("all", "session")).await
                }
                _ = checks.tick() => {
                    self.resend_notifications().instrument(outbox_round("notifications", "timer")).await
                }
            };
            pause_after(worked).await;
        }
    }

    /// Pushes configurations, in a task of its own: a notification never waits behind them.
    pub(super) async fn configure(
        self,
        mut changed: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut checks = checks();
        let mut devices = Vec::with_capacity(DEVICES_MAX);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = changed.recv_many(&mut devices, DEVICES_MAX) => {
                    let round = outbox_round("configs", "commit");
                    self.push_configs(&mut devices, false).instrument(round).await
                }
                _ = checks.tick() => {
                    self.push_configs_again().instrument(outbox_round("configs", "timer")).await
                }
            };
            pause_after(worked).await;
        }
    }

    /// Sends commands, in a task of its own for the same reason.
    pub(super) async fn command(
        self,
        mut created: mpsc::Receiver<DeviceId>,
        stop: CancellationToken,
    ) {
        let mut checks = checks();
        let mut devices = Vec::with_capacity(DEVICES_MAX);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                _ = created.recv_many(&mut devices, DEVICES_MAX) => {
                    let round = outbox_round("commands", "commit");
                    self.send_commands(&mut devices, false).instrument(round).await
                }
                _ = checks.tick() => {
                    self.resend_commands().instrument(outbox_round("commands", "timer")).await
                }
            };
            pause_after(worked).await;
        }
    }

    /// Sends everything to devices that have just become reachable, also what is not due again yet.
    /// The configuration first: it names the binding, without which the device refuses a notification. Then
    /// notifications, then commands.
    async fn replay(&self, devices: &mut Vec<DeviceId>) -> Result<()> {
        let mut same = devices.clone();
        self.push_configs(&mut same, true).await?;
        same.clone_from(devices);
        self.send_notifications(&mut same, true).await?;
        self.send_commands(devices, true).await
    }

    /// What is due to these devices. When a row cannot be read, each device is read alone, and an alert names the one
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
        notification::postpone(&self.context, &handed.queued).await?;
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
        command::postpone(&self.context, &handed.queued).await?;
        self.end_oversized(&handed.oversized).await
    }

    async fn push_configs(&self, devices: &mut Vec<DeviceId>, all: bool) -> Result<()> {
        let Some(devices) = self.take_live(devices) else {
            return Ok(());
        };
        let order = self.config_order.lock().await;
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
        drop(order);
        config::mark_sent(&self.context, &handed.sent).await?;
        config::postpone(&self.context, &handed.queued).await?;
        self.end_oversized(&handed.oversized).await
    }

    /// Hands messages to the broker and sorts them by the result.
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
                            "{bytes} bytes, more than the device accepts (MQTT 5, Maximum Packet Size)"
                        ),
                    });
                }
                Published::Queued | Published::Refused(_) => handed.queued.push(send),
            }
        }
        handed
    }

    /// Ends messages that are larger than their devices accept.
    async fn end_oversized(&self, oversized: &[Undeliverable]) -> Result<()> {
        for one in oversized {
            undeliverable::fail(&self.context, one).await?;
        }
        Ok(())
    }

    /// Those with a live session on this node, without repetitions. The others are served when they connect.
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

/// Messages that were handed to the broker, by the result.
struct HandedOver<S> {
    /// Written to the connection of the device, or next to be written. Also a configuration in the session's queue: it has
    /// no key by which the broker would recognise a repetition.
    sent: Vec<S>,
    /// Not sent yet: it is in the session's queue, or the device has not subscribed to it.
    queued: Vec<S>,
    /// Can never be sent to this device.
    oversized: Vec<Undeliverable>,
}

impl<S> Default for HandedOver<S> {
    fn default() -> Self {
        Self {
            sent: Vec::new(),
            queued: Vec::new(),
            oversized: Vec::new(),
        }
    }
}

fn checks() -> Interval {
    let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}

async fn pause_after(worked: Result<()>) {
    if let Err(error) = worked {
        tracing::warn!(%error, "the outbox could not be read");
        tokio::time::sleep(PAUSE).await;
    }
}
