//! What a committed use case tells the rest of this process.
//!
//! A signal only makes something happen earlier: the receivers re-read the database, and look again
//! by themselves when a signal was lost.

use tokio::sync::mpsc;
use wire::ids::DeviceId;

/// How many wake-ups may wait; beyond it they are dropped, because the outbox looks by itself.
const WAKES_MAX: usize = 65_536;
/// How many sessions may wait to be ended; beyond it the sender waits.
const ENDINGS_MAX: usize = 4_096;

/// Something that follows from a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The outbox of this box has something new.
    Wake(DeviceId),
    /// This box may not be connected any longer.
    EndSession(DeviceId),
    /// What waits in this box's session belongs to a binding that is over.
    Purge(DeviceId),
}

/// The sending side, shared by all services.
#[derive(Debug, Clone)]
pub struct Signals {
    wakes: mpsc::Sender<DeviceId>,
    endings: mpsc::Sender<Signal>,
}

/// The receiving side, of which there is one: the MQTT bridge.
#[derive(Debug)]
pub struct Receivers {
    /// Boxes whose outbox has something new.
    pub wakes: mpsc::Receiver<DeviceId>,
    /// Sessions to end or to purge.
    pub endings: mpsc::Receiver<Signal>,
}

/// Both sides.
pub fn channel() -> (Signals, Receivers) {
    let (wakes, wakes_receiver) = mpsc::channel(WAKES_MAX);
    let (endings, endings_receiver) = mpsc::channel(ENDINGS_MAX);
    (
        Signals { wakes, endings },
        Receivers {
            wakes: wakes_receiver,
            endings: endings_receiver,
        },
    )
}

impl Signals {
    pub(super) async fn send(&self, signal: Signal) {
        match signal {
            Signal::Wake(device_id) => {
                if self.wakes.try_send(device_id).is_err() {
                    metrics::counter!("outbox_wakes_dropped_total").increment(1);
                }
            }
            // A revocation is never dropped. Without a receiver there are no sessions either.
            Signal::EndSession(_) | Signal::Purge(_) => {
                let _ = self.endings.send(signal).await;
            }
        }
    }
}
