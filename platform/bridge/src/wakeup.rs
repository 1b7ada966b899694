//! What other processes tell this one: by LISTEN, on two channels over one connection.
//!
//! On its own channel a process is told of what was committed for its boxes, and of boxes that have moved away
//! ([`service::wakeup`]). On the other every process is told of certificates that ended: that is sent within the transaction
//! that ends them, so that a process that dies right after its commit leaves no session open. Either can be lost with the
//! connection. The outbox reads at intervals what it was not told of. After every reconnection, and twice a minute, all
//! sessions of this process are checked against the registry; this also ends sessions whose certificate has expired or was
//! replaced.

use std::time::Duration;

use service::fleet::credential;
use service::wakeup::{self, MESSAGE_MAX, Outgoing};
use service::{Context, Error, Result};
use sqlx::postgres::PgListener;
use store::fleet::credential::ENDED_CHANNEL;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::ids::DeviceId;

use super::carrier::Carrier;

/// How often all sessions are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_millis(250);
/// How soon after one message the next is sent: what is committed meanwhile is told together. One after a pause goes at once.
const GATHER: Duration = Duration::from_millis(2);
/// How long a message may take. Later the outbox of the other process has found by itself what it is about.
const SEND_WITHIN: Duration = Duration::from_secs(1);

/// Does what other processes tell, for as long as the bridge runs.
pub(super) async fn listen<C: Carrier>(context: Context, carrier: C, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            watched = watch(&context, &carrier) => if let Err(error) = watched {
                tracing::warn!(%error, "other processes are not heard at the moment");
                metrics::counter!("revocation_watch_failures_total").increment(1);
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Listens until this process has another incarnation.
async fn watch<C: Carrier>(context: &Context, carrier: &C) -> Result<()> {
    let mut incarnations = context.node().incarnations();
    let own = store::node::channel(*incarnations.borrow_and_update());
    let mut listener = PgListener::connect_with(context.node_connections()).await?;
    listener.listen_all([ENDED_CHANNEL, own.as_str()]).await?;
    let mut sweeps = interval(SWEEP_INTERVAL);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The first tick is immediate: it covers revocations before LISTEN.
            _ = sweeps.tick() => sweep(context, carrier).await?,
            _ = incarnations.changed() => return Ok(()),
            received = listener.try_recv() => match received? {
                Some(message) if message.channel() == ENDED_CHANNEL => {
                    check(context, carrier, message.payload()).await?;
                }
                Some(message) => take(context, message.payload()),
                None => sweep(context, carrier).await?,
            },
        }
    }
}

fn take(context: &Context, message: &str) {
    let mut count = 0;
    for (device_id, wakeup) in wakeup::read(message) {
        context.signals().wake(device_id, wakeup);
        count += 1;
    }
    metrics::counter!("node_wakeups_received_total").increment(count);
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

/// Tells other processes, until `stop` and the end of the tasks in `sources`, which give back then what they did not send.
pub(super) async fn tell(
    context: Context,
    mut outgoing: mpsc::Receiver<Outgoing>,
    stop: CancellationToken,
    sources: TaskTracker,
) {
    let mut batch = Vec::with_capacity(MESSAGE_MAX);
    let mut next_at = Instant::now();
    loop {
        tokio::select! {
            received = outgoing.recv_many(&mut batch, MESSAGE_MAX) => if received == 0 { return },
            () = async { stop.cancelled().await; sources.wait().await } => break,
        }
        sleep_until(next_at).await;
        gather(&mut outgoing, &mut batch);
        send(&context, &mut batch).await;
        next_at = Instant::now() + GATHER;
    }
    gather(&mut outgoing, &mut batch);
    while !batch.is_empty() {
        send(&context, &mut batch).await;
        gather(&mut outgoing, &mut batch);
    }
}

fn gather(outgoing: &mut mpsc::Receiver<Outgoing>, batch: &mut Vec<Outgoing>) {
    while batch.len() < MESSAGE_MAX
        && let Ok(one) = outgoing.try_recv()
    {
        batch.push(one);
    }
}

async fn send(context: &Context, batch: &mut Vec<Outgoing>) {
    if context.node().has_others() {
        let sent = timeout(SEND_WITHIN, wakeup::send(context, batch)).await;
        let sent = sent.unwrap_or(Err(Error::Database(sqlx::Error::PoolTimedOut)));
        if let Err(error) = sent {
            metrics::counter!("node_wakeup_failures_total").increment(1);
            tracing::warn!(%error, "other processes could not be told, and find by themselves what was committed for their boxes");
        }
    }
    batch.clear();
}
