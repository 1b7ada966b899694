//! Revocations by other processes: a session here may use a certificate that another process revoked.
//!
//! A transaction that revokes a certificate also sends NOTIFY, and every process then checks its session of that device.
//! A notification can be lost with a database connection. So after every reconnection, and twice a minute, all sessions
//! of this process are checked against the registry; this also ends sessions whose certificate has expired or was
//! replaced.

use std::time::Duration;

use service::fleet::credential;
use service::{Context, Result};
use sqlx::postgres::{PgListener, PgPoolOptions};
use store::fleet::credential::ENDED_CHANNEL;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::ids::DeviceId;

use super::carrier::Carrier;

/// How often all sessions are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);

/// Ends sessions for as long as the bridge runs.
pub(super) async fn watch<C: Carrier>(context: Context, carrier: C, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            watched = listen(&context, &carrier) => if let Err(error) = watched {
                tracing::warn!(%error, "revocations of other processes are not received at the moment");
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
    // A connection of its own, because listening would hold one of the pool for good.
    let options = context.pool().connect_options();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.as_ref().clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(ENDED_CHANNEL).await?;
    let mut sweeps = interval(SWEEP_INTERVAL);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The first tick is immediate: it covers revocations before LISTEN.
            _ = sweeps.tick() => sweep(context, carrier).await?,
            received = listener.try_recv() => match received? {
                Some(notification) => check(context, carrier, notification.payload()).await?,
                None => sweep(context, carrier).await?,
            },
        }
    }
}

/// Ends the session of one device if its certificate was revoked.
async fn check<C: Carrier>(context: &Context, carrier: &C, device_id: &str) -> Result<()> {
    let Ok(device_id) = device_id.parse::<DeviceId>() else {
        return Ok(());
    };
    // The carrier also covers a session that is still being admitted.
    let serials = credential::ended(context, device_id).await?;
    carrier.kick_certificates(device_id, &serials);
    Ok(())
}

/// Checks all sessions of this process.
async fn sweep<C: Carrier>(context: &Context, carrier: &C) -> Result<()> {
    for (device_id, serial) in credential::ended_sessions(context).await? {
        tracing::warn!(%device_id, "a session's certificate is no longer valid");
        carrier.kick_certificates(device_id, &[serial]);
    }
    Ok(())
}
