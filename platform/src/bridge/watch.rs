//! Ends observers whose certificate has been revoked, on whichever node that was done.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;
use crate::service::Context;
use crate::service::fleet::observer;

/// A revoked observer is gone within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks until `stop`; costs nothing while nobody observes.
pub(super) async fn end_revoked_observers<C: Carrier>(
    context: Context,
    carrier: C,
    stop: CancellationToken,
) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        let present = carrier.observer_certificates();
        if present.is_empty() {
            continue;
        }
        match observer::revoked_among(&context, &present).await {
            Ok(revoked) if revoked.is_empty() => {}
            Ok(revoked) => carrier.revoke_observers(&revoked),
            Err(error) => tracing::warn!(%error, "revoked observers could not be looked for"),
        }
    }
}
