//! Revocations by other processes: a session here may use a certificate that was ended elsewhere.
//!
//! Whoever ends a certificate says so by NOTIFY in its transaction, and every process looks again at what it holds of
//! that box. A word that was lost with a connection to the database is made up for: after every reconnection, and
//! twice a minute besides, all sessions of this process are held against the registry, which also ends those whose
//! certificates have expired or were replaced meanwhile.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::ids::DeviceId;

use super::carrier::Carrier;
use crate::service::fleet::credential;
use crate::service::{Context, Result};
use crate::store::fleet::credential::ENDED_CHANNEL;

/// How often all sessions are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);

/// Ends sessions for as long as the bridge runs.
pub(super) async fn watch<C: Carrier>(context: Context, carrier: C, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            watched = listen(&context, &carrier) => if let Err(error) = watched {
                tracing::warn!(%error, "revocations of other processes are not heard at the moment");
                metrics::counter!("revocation_watch_failures_total").increment(1);
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn listen<C: Carrier>(context: &Context, carrier: &C) -> Result<()> {
    // A connection of its own: one that only listens must not be taken from those who work.
    let options = context.pool().connect_options();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.as_ref().clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(ENDED_CHANNEL).await?;
    let mut sweeps = interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The first is at once: what was said before we listened.
            _ = sweeps.tick() => sweep(context, carrier).await?,
            heard = listener.try_recv() => match heard? {
                Some(word) => look(context, carrier, word.payload()).await?,
                None => sweep(context, carrier).await?,
            },
        }
    }
}

/// Looks at one box.
async fn look<C: Carrier>(context: &Context, carrier: &C, device_id: &str) -> Result<()> {
    let Ok(device_id) = device_id.parse::<DeviceId>() else {
        return Ok(());
    };
    // Whether it is connected here or still on its way in is the carrier's to know.
    let serials = credential::ended(context, device_id).await?;
    carrier.revoke(device_id, &serials);
    Ok(())
}

/// Looks at all boxes that are connected here.
async fn sweep<C: Carrier>(context: &Context, carrier: &C) -> Result<()> {
    for (device_id, serial) in credential::ended_sessions(context).await? {
        tracing::warn!(%device_id, "a session's certificate may not be used any longer");
        carrier.revoke(device_id, &[serial]);
    }
    Ok(())
}
