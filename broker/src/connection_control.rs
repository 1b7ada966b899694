//! How other tasks wake a connection's task, and how they make it end the connection.

use std::sync::OnceLock;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::host::EndReason;

/// The reason for which other tasks end a connection, and the wake-up of its task.
#[derive(Debug, Default)]
pub(crate) struct ConnectionControl {
    kicked: OnceLock<EndReason>,
    wake: Notify,
}

impl ConnectionControl {
    /// Records the reason and wakes the task, which then ends the connection. The first reason counts.
    pub(crate) fn kick(&self, reason: EndReason) {
        let _ = self.kicked.set(reason);
        self.wake();
    }

    /// The reason of the kick, if there was one.
    pub(crate) fn kicked(&self) -> Option<EndReason> {
        self.kicked.get().copied()
    }

    /// Wakes the task: a message is queued.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Resolves after a kick or a wake-up. One waiter at a time.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Resolves when the connection has been kicked.
    pub(crate) async fn until_kicked(&self) -> EndReason {
        loop {
            if let Some(reason) = self.kicked() {
                return reason;
            }
            self.notified().await;
        }
    }
}
