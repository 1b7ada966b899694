//! What a committed use case tells the rest of this process.
//!
//! A signal only makes something happen earlier: the receivers re-read the database, and look again
//! by themselves when a signal was lost.

use tokio::sync::mpsc;
use wire::ids::DeviceId;

use super::fleet::long_poll::LongPolls;

/// How many wake-ups may wait; beyond it they are dropped, because the outbox looks by itself.
const WAKES_MAX: usize = 65_536;
/// How many sessions may wait to be ended; beyond it the sender waits.
const ENDINGS_MAX: usize = 4_096;

/// Something that follows from a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// There is a payment to announce to this box.
    Announce(DeviceId),
    /// There is a configuration to push to this box.
    Configure(DeviceId),
    /// There is an order for this box.
    Command(DeviceId),
    /// This box may not be connected with these certificates any longer.
    Revoked {
        /// The box.
        device_id: DeviceId,
        /// Their serial numbers.
        certificate_serials: Vec<String>,
    },
    /// What waits in this box's session belongs to a binding that is over.
    Purge(DeviceId),
}

impl Signal {
    /// The box that it concerns.
    fn device_id(&self) -> DeviceId {
        match self {
            Self::Announce(device_id)
            | Self::Configure(device_id)
            | Self::Command(device_id)
            | Self::Revoked { device_id, .. }
            | Self::Purge(device_id) => *device_id,
        }
    }
}

/// The sending side, shared by all services.
#[derive(Debug, Clone)]
pub struct Signals {
    payments: mpsc::Sender<DeviceId>,
    configs: mpsc::Sender<DeviceId>,
    commands: mpsc::Sender<DeviceId>,
    endings: mpsc::Sender<Signal>,
    waiting: LongPolls,
}

/// The receiving side, of which there is one: the MQTT bridge.
#[derive(Debug)]
pub struct Receivers {
    /// Boxes whose outbox has something new.
    pub wakes: Wakes,
    /// Sessions to end or to purge.
    pub endings: mpsc::Receiver<Signal>,
}

/// Boxes that are to be told something.
#[derive(Debug)]
pub struct Wakes {
    /// Of a payment.
    pub payments: mpsc::Receiver<DeviceId>,
    /// Of a configuration.
    pub configs: mpsc::Receiver<DeviceId>,
    /// Of an order.
    pub commands: mpsc::Receiver<DeviceId>,
}

/// Both sides. Boxes that wait on HTTP are woken in `waiting` by the same signals.
pub fn channel(waiting: LongPolls) -> (Signals, Receivers) {
    let (payments, woken_by_payments) = mpsc::channel(WAKES_MAX);
    let (configs, woken_by_configs) = mpsc::channel(WAKES_MAX);
    let (commands, woken_by_commands) = mpsc::channel(WAKES_MAX);
    let (endings, ended) = mpsc::channel(ENDINGS_MAX);
    let wakes = Wakes {
        payments: woken_by_payments,
        configs: woken_by_configs,
        commands: woken_by_commands,
    };
    let signals = Signals {
        payments,
        configs,
        commands,
        endings,
        waiting,
    };
    let receivers = Receivers {
        wakes,
        endings: ended,
    };
    (signals, receivers)
}

impl Signals {
    /// Boxes that wait on HTTP.
    pub(super) fn long_polls(&self) -> &LongPolls {
        &self.waiting
    }

    pub(super) async fn send(&self, signal: Signal) {
        self.waiting.wake(signal.device_id());
        match signal {
            Signal::Announce(device_id) => wake(&self.payments, device_id),
            Signal::Configure(device_id) => wake(&self.configs, device_id),
            Signal::Command(device_id) => wake(&self.commands, device_id),
            // A revocation is never dropped. Without a receiver there are no sessions either.
            Signal::Revoked { .. } | Signal::Purge(_) => {
                let _ = self.endings.send(signal).await;
            }
        }
    }
}

fn wake(sender: &mpsc::Sender<DeviceId>, device_id: DeviceId) {
    if sender.try_send(device_id).is_err() {
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
    async fn every_signal_wakes_the_box_that_waits_for_it_on_http() {
        let waiting = LongPolls::new(1, CancellationToken::new());
        let (signals, _receivers) = channel(waiting.clone());
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
            let place = waiting.enter(device_id).unwrap();
            let told = format!("{signal:?}");
            signals.send(signal).await;
            let deadline = Instant::now() + Duration::from_secs(25);
            assert_eq!(place.wait(deadline).await, WaitOutcome::Woken, "{told}");
        }
    }
}
