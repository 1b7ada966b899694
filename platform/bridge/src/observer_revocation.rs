//! Ends observers whose certificate was revoked, on any node.

use std::time::Duration;

use service::Context;
use service::fleet::observer;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;

/// A revoked observer is disconnected within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Runs until `stop`; no query while there are no observers.
pub(super) async fn watch<C: Carrier>(context: Context, carrier: C, stop: CancellationToken) {
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = checks.tick() => {}
        }
        let present = carrier.observer_certificates();
        if present.is_empty() {
            continue;
        }
        match observer::revoked_among(&context, &present).await {
            Ok(revoked) if revoked.is_empty() => {}
            Ok(revoked) => carrier.kick_observers(&revoked),
            Err(error) => {
                tracing::warn!(%error, "the certificates of observers could not be checked")
            }
        }
    }
}
