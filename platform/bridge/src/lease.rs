//! Keeps this process's lease, and ends processes that do not keep theirs.

use service::node::{Lease, Renewal, end_overdue};
use service::{Context, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::carrier::Carrier;

/// Renews the lease until `stop`. When another process has ended it, all sessions are ended here and another lease is taken:
/// their boxes connect again, here or elsewhere.
pub(super) async fn keep<C: Carrier>(
    context: Context,
    carrier: C,
    mut lease: Lease,
    stop: CancellationToken,
) {
    let mut ticks = interval(context.node().renewed_every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if context.node().is_leaving() {
            return;
        }
        if let Err(error) = round(&context, &carrier, &mut lease).await {
            metrics::counter!("node_lease_failures_total").increment(1);
            tracing::warn!(%error, "the lease of this process could not be kept and will be tried again");
        }
    }
}

async fn round<C: Carrier>(context: &Context, carrier: &C, lease: &mut Lease) -> Result<()> {
    match lease.renew().await? {
        Renewal::Renewed if lease.is_steady() => end_overdue(context).await,
        Renewal::Renewed => Ok(()),
        Renewal::Lost => {
            carrier.kick_all();
            if context.node().is_leaving() {
                return Ok(());
            }
            tracing::error!(
                "the lease of this process was ended, because it was paused or cut off, or because the database was restored or \
                 failed over: its sessions are ended"
            );
            metrics::counter!("node_leases_lost_total").increment(1);
            if !lease.join().await? {
                tracing::error!(
                    node = context.node().name(),
                    "another process has taken the name of this one, which serves no boxes until that one has ended"
                );
            }
            Ok(())
        }
    }
}
