//! Signals of committed use cases to the rest of this process, and by [`crate::wakeup`] to the process that a box is
//! connected to.
//!
//! A signal only makes something happen earlier: the receivers read the database, and do so at
//! intervals too, so that a lost signal costs a delay and nothing else. Sessions end, and their queues are dropped, before
//! the use case answers.

use std::sync::{Arc, OnceLock};

use store::fleet::command::DueCommand;
use store::fleet::config::DueConfig;
use store::payment::notification::DueNotification;
use tokio::sync::mpsc;
use wire::ids::DeviceId;

use super::fleet::long_poll::LongPolls;
use super::wakeup::{Outgoing, Wakeup};

/// How many wake-ups are queued; more are dropped, because the outbox also checks at intervals.
const WAKES_MAX: usize = 65_536;

/// Something that follows from a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// There is a notification for this device.
    Announce(DeviceId),
    /// There is a notification for a device with a live session; it is stored as sent, and is to be handed over now.
    HandOver(Box<DueNotification>),
    /// There is a configuration for this device.
    Configure(DeviceId),
    /// There is a command for this device.
    Command(DeviceId),
    /// This device may no longer be connected with these certificates.
    Revoked {
        /// The device.
        device_id: DeviceId,
        /// Their serial numbers.
        certificate_serials: Vec<String>,
    },
    /// What is queued in this device's session belongs to a binding that has ended.
    Purge(DeviceId),
}

impl Signal {
    /// The device that it concerns.
    fn device_id(&self) -> DeviceId {
        match self {
            Self::Announce(device_id)
            | Self::Configure(device_id)
            | Self::Command(device_id)
            | Self::Revoked { device_id, .. }
            | Self::Purge(device_id) => *device_id,
            Self::HandOver(notification) => notification.device_id,
        }
    }

    /// What the node that the box is connected to is to do, if it is another one. Revocations reach all nodes in another way.
    fn elsewhere(&self) -> Option<Wakeup> {
        match self {
            Self::Announce(_) => Some(Wakeup::Announce),
            Self::Configure(_) => Some(Wakeup::Configure),
            Self::Command(_) => Some(Wakeup::Command),
            Self::Purge(_) => Some(Wakeup::Purge),
            Self::HandOver(_) | Self::Revoked { .. } => None,
        }
    }
}

/// The sending side, shared by all services.
#[derive(Clone)]
pub struct Signals {
    payments: mpsc::Sender<Committed<DueNotification>>,
    configs: mpsc::Sender<Committed<DueConfig>>,
    commands: mpsc::Sender<Committed<DueCommand>>,
    elsewhere: mpsc::Sender<Outgoing>,
    long_polls: LongPolls,
    sessions: Arc<OnceLock<Box<dyn Sessions>>>,
}

/// The MQTT sessions of this node. Nothing here blocks.
pub trait Sessions: Send + Sync {
    /// Whether a device has a live session, for which this node may speak.
    fn is_live(&self, device_id: DeviceId) -> bool;
    /// Ends a device's session if it uses one of these certificates, which are revoked.
    fn revoke(&self, device_id: DeviceId, certificate_serials: &[String]);
    /// Drops what is queued for a device and was not sent.
    fn purge(&self, device_id: DeviceId);
    /// Ends a device's session if it is older than the one with this epoch, which another node has.
    fn end_older_than(&self, device_id: DeviceId, epoch: i64);
}

/// The receiving side: the MQTT bridge.
pub struct Receivers {
    /// Devices with new messages.
    pub wakes: Wakes,
    /// What is to be told to other nodes.
    pub elsewhere: mpsc::Receiver<Outgoing>,
    sessions: Arc<OnceLock<Box<dyn Sessions>>>,
}

impl Receivers {
    /// From now on these sessions are told of commits, and notifications for their devices are handed over as they are
    /// committed.
    pub fn connect(&self, sessions: Box<dyn Sessions>) {
        // A process has one bridge.
        let _ = self.sessions.set(sessions);
    }
}

/// What a commit left for the outbox.
#[derive(Debug)]
pub enum Committed<R> {
    /// Something is due to this device.
    Device(DeviceId),
    /// This row is stored as sent, and is to be handed over.
    Row(R),
}

/// Devices with new messages, by kind.
#[derive(Debug)]
pub struct Wakes {
    /// A notification.
    pub payments: mpsc::Receiver<Committed<DueNotification>>,
    /// A configuration.
    pub configs: mpsc::Receiver<Committed<DueConfig>>,
    /// A command.
    pub commands: mpsc::Receiver<Committed<DueCommand>>,
}

/// Both sides. The same signals wake the `long_polls` of devices on HTTP.
pub fn channel(long_polls: LongPolls) -> (Signals, Receivers) {
    let (payments, woken_by_payments) = mpsc::channel(WAKES_MAX);
    let (configs, woken_by_configs) = mpsc::channel(WAKES_MAX);
    let (commands, woken_by_commands) = mpsc::channel(WAKES_MAX);
    let (elsewhere, told_elsewhere) = mpsc::channel(WAKES_MAX);
    let wakes = Wakes {
        payments: woken_by_payments,
        configs: woken_by_configs,
        commands: woken_by_commands,
    };
    let sessions = Arc::default();
    let receivers = Receivers {
        wakes,
        elsewhere: told_elsewhere,
        sessions: Arc::clone(&sessions),
    };
    let signals = Signals {
        payments,
        configs,
        commands,
        elsewhere,
        long_polls,
        sessions,
    };
    (signals, receivers)
}

impl Signals {
    /// The waiting requests of devices on HTTP.
    pub(super) fn long_polls(&self) -> &LongPolls {
        &self.long_polls
    }

    /// Whether a device has a live session on this node; none has before the bridge runs.
    pub(super) fn is_live(&self, device_id: DeviceId) -> bool {
        let sessions = self.sessions.get();
        sessions.is_some_and(|sessions| sessions.is_live(device_id))
    }

    pub(super) fn send(&self, signal: Signal) {
        let device_id = signal.device_id();
        if let Some(wakeup) = signal.elsewhere() {
            // What is purged may be in a queue here and there, when a box has moved a moment ago.
            if wakeup == Wakeup::Purge || !self.is_live(device_id) {
                self.tell_owner(device_id, wakeup);
            }
        }
        match signal {
            Signal::HandOver(row) => {
                self.long_polls.wake(device_id);
                wake(&self.payments, Committed::Row(*row));
            }
            Signal::Revoked {
                device_id,
                certificate_serials,
            } => {
                self.long_polls.wake(device_id);
                // Before the bridge runs there are no sessions.
                if let Some(sessions) = self.sessions.get() {
                    sessions.revoke(device_id, &certificate_serials);
                }
            }
            Signal::Announce(_) => self.wake(device_id, Wakeup::Announce),
            Signal::Configure(_) => self.wake(device_id, Wakeup::Configure),
            Signal::Command(_) => self.wake(device_id, Wakeup::Command),
            Signal::Purge(_) => self.wake(device_id, Wakeup::Purge),
        }
    }

    /// Does here what a wake-up says.
    pub fn wake(&self, device_id: DeviceId, wakeup: Wakeup) {
        self.long_polls.wake(device_id);
        match wakeup {
            Wakeup::Announce => wake(&self.payments, Committed::Device(device_id)),
            Wakeup::Configure => wake(&self.configs, Committed::Device(device_id)),
            Wakeup::Command => wake(&self.commands, Committed::Device(device_id)),
            Wakeup::Purge => {
                if let Some(sessions) = self.sessions.get() {
                    sessions.purge(device_id);
                }
            }
            Wakeup::Moved(epoch) => {
                if let Some(sessions) = self.sessions.get() {
                    sessions.end_older_than(device_id, epoch);
                }
            }
        }
    }

    /// Tells the node that a box is connected to, if it is another one.
    pub(super) fn tell_owner(&self, device_id: DeviceId, wakeup: Wakeup) {
        self.tell(Outgoing {
            device_id,
            wakeup,
            node: None,
        });
    }

    /// Tells a node that a box of its own has a newer session here.
    pub(super) fn tell_moved(&self, device_id: DeviceId, epoch: i64, from: i64) {
        self.tell(Outgoing {
            device_id,
            wakeup: Wakeup::Moved(epoch),
            node: Some(from),
        });
    }

    fn tell(&self, outgoing: Outgoing) {
        if self.elsewhere.try_send(outgoing).is_err() {
            metrics::counter!("node_wakeups_dropped_total").increment(1);
        }
    }
}

fn wake<R>(sender: &mpsc::Sender<Committed<R>>, committed: Committed<R>) {
    if sender.try_send(committed).is_err() {
        metrics::counter!("outbox_wakes_dropped_total").increment(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::fleet::long_poll::WaitOutcome;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_signal_wakes_the_long_poll_of_its_device() {
        let long_polls = LongPolls::new(1, CancellationToken::new());
        let (signals, _receivers) = channel(long_polls.clone());
        let device_id = DeviceId::from_uuid(Uuid::from_u128(1));
        let certificate_serials = Vec::new();
        for signal in [
            Signal::Announce(device_id),
            Signal::Configure(device_id),
            Signal::Command(device_id),
            Signal::Purge(device_id),
            Signal::Revoked {
                device_id,
                certificate_serials,
            },
        ] {
            let poll = long_polls.enter(device_id).unwrap();
            let name = format!("{signal:?}");
            signals.send(signal);
            let deadline = Instant::now() + Duration::from_secs(25);
            assert_eq!(poll.wait(deadline).await, WaitOutcome::Woken, "{name}");
        }
    }
}
