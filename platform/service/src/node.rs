//! This process among those that share the database: its lease, and the end of processes that died.
//!
//! A process owns its MQTT sessions while it renews its lease ([`Lease::renew`], every third of `node.lease_s`). Whoever
//! finds another's lease over ends it ([`end_overdue`]): its sessions, its connections to the database, and its hold on
//! work that it had taken. Only the database's clock decides that a lease is over.
//!
//! A process judges its own lease by its own monotonic clock, from before the renewal was sent, so it is over here before it is
//! over there ([`Node::owns_sessions`]). A process that was paused may still send what was in its sessions' queues and sockets
//! before its next check; it wakes up with a lease that is over, hands nothing more over, and finds by its next renewal that
//! another has ended it. What it wrote meanwhile is guarded by the epochs of sessions, and a box speaks of an event once,
//! whoever sends it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use store::fleet::session::Owner;
use store::node::Joining;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::{Context, Error, Result};

/// How often a name that another process has is tried again.
const NAME_TRIED_EVERY: Duration = Duration::from_millis(250);
/// How long an ended node is shown, seconds.
const SHOWN_FOR_S: f64 = 86_400.0;

pub use store::node::Node as NodeView;

/// This process, as far as all use cases know of it.
#[derive(Debug)]
pub struct Node {
    name: String,
    version: &'static str,
    lease: Duration,
    /// 0: it has no lease.
    incarnation: watch::Sender<i64>,
    began: Instant,
    /// Milliseconds after `began`.
    lease_until_ms: AtomicU64,
    others: AtomicI64,
    draining: AtomicBool,
    leaving: AtomicBool,
}

impl Node {
    /// A process that has no lease yet.
    pub fn new(name: &str, version: &'static str, lease: Duration) -> Self {
        Self {
            name: name.to_owned(),
            version,
            lease,
            incarnation: watch::Sender::new(0),
            began: Instant::now(),
            lease_until_ms: AtomicU64::new(0),
            others: AtomicI64::new(0),
            draining: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long its lease lasts without a renewal.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// How often the lease is renewed, and the leases of others are checked.
    pub fn renewed_every(&self) -> Duration {
        self.lease / 3
    }

    /// Its present incarnation; 0 while it has none.
    pub fn incarnation(&self) -> i64 {
        *self.incarnation.borrow()
    }

    /// Its incarnation, and every one that follows.
    pub fn incarnations(&self) -> watch::Receiver<i64> {
        self.incarnation.subscribe()
    }

    /// Whether it may speak for its sessions: its lease is not over.
    pub fn owns_sessions(&self) -> bool {
        let until = Duration::from_millis(self.lease_until_ms.load(Ordering::Acquire));
        self.began.elapsed() < until
    }

    /// Whether other processes shared the database at the last renewal.
    pub fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed) > 0
    }

    /// Whether it is about to stop, and takes no new sessions.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it gives up its lease for good.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner {
            node: &self.name,
            incarnation: self.incarnation(),
        }
    }

    fn hold(&self, incarnation: i64, asked_at: Instant) {
        let until = asked_at.duration_since(self.began) + self.lease;
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.lease_until_ms.store(until_ms, Ordering::Release);
        self.incarnation
            .send_if_modified(|present| std::mem::replace(present, incarnation) != incarnation);
    }

    fn lose(&self) {
        self.lease_until_ms.store(0, Ordering::Release);
        self.incarnation.send_replace(0);
    }
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease goes on.
    Renewed,
    /// Another process has ended it: the sessions are no longer ours.
    Lost,
}

/// The lease of this process, with the connection by which the others see that the process is there.
pub struct Lease {
    context: Context,
    conn: Option<PoolConnection<Postgres>>,
    /// Since when it has been renewed without a gap.
    steady: Option<(Instant, Instant)>,
}

impl Lease {
    /// Takes the configured name, ends what an earlier process of this name left, and takes its work over. Waits while the
    /// lease of a process that renews it no more is not over.
    ///
    /// # Errors
    /// Another process has the name.
    pub async fn take(context: &Context) -> Result<Self> {
        let mut lease = Self {
            context: context.clone(),
            conn: None,
            steady: None,
        };
        let mut seen = None;
        while !lease.join().await? {
            let name = context.node().name();
            let found = store::node::find(lease.connection().await?, name).await?;
            let renewed = found.map(|found| found.renewed_at);
            if let (Some(found), Some(before)) = (found, seen)
                && found.renewed_at > before
            {
                return Err(Error::Internal(anyhow::anyhow!(
                    "another process with the name {name:?} is running, since {}: give each process a name of its own (node.name)",
                    found.started_at
                )));
            }
            if seen.is_none() {
                tracing::info!(node = name, "waiting for the lease of an earlier process");
            }
            seen = seen.or(renewed);
            sleep(NAME_TRIED_EVERY).await;
        }
        Ok(lease)
    }

    /// Tries to take the name; `false` when another process has it.
    pub async fn join(&mut self) -> Result<bool> {
        let context = self.context.clone();
        let node = context.node();
        let connections = application_name(context.pool());
        let asked_at = Instant::now();
        let conn = self.connection().await?;
        let joining = Joining {
            name: &node.name,
            version: node.version,
            connections: &connections,
            lease_s: node.lease.as_secs_f64(),
        };
        let Some(incarnation) = store::node::join(conn, joining).await? else {
            return Ok(false);
        };
        let now = context.clock().now();
        let (name, mine) = (node.name.as_str(), Some(incarnation));
        store::fleet::session::end_of_node(conn, name, mine, RESTARTED, now).await?;
        store::node::release_work(conn, now).await?;
        node.hold(incarnation, asked_at);
        tracing::info!(node = name, incarnation, "this process has its lease");
        Ok(true)
    }

    /// Renews the lease. On an error the connection is made anew the next time.
    ///
    /// # Errors
    /// The database's; it does not answer in time.
    pub async fn renew(&mut self) -> Result<Renewal> {
        let within = self.context.node().renewed_every();
        let renewed = timeout(within, self.try_renew()).await;
        let renewed = renewed.unwrap_or_else(|_| Err(Error::Database(sqlx::Error::PoolTimedOut)));
        if renewed.is_err() {
            // Not given back to the pool: an answer may still be on its way.
            self.conn.take().map(PoolConnection::detach);
        }
        renewed
    }

    async fn try_renew(&mut self) -> Result<Renewal> {
        let context = self.context.clone();
        let node = context.node();
        let (incarnation, lease_s) = (node.incarnation(), node.lease.as_secs_f64());
        let asked_at = Instant::now();
        let conn = self.connection().await?;
        let draining = node.is_draining();
        let others = store::node::renew(conn, &node.name, incarnation, lease_s, draining).await?;
        let Some(others) = others else {
            node.lose();
            self.steady = None;
            return Ok(Renewal::Lost);
        };
        node.hold(incarnation, asked_at);
        node.others.store(others, Ordering::Relaxed);
        self.steady = match self.steady {
            Some((since, last)) if asked_at - last < node.lease => Some((since, asked_at)),
            _ => Some((asked_at, asked_at)),
        };
        Ok(Renewal::Renewed)
    }

    /// Whether it has been renewed without a gap for so long that every other process that is alive had the time to renew its
    /// own. After an outage of the database all leases are over, and nobody is dead.
    pub fn is_steady(&self) -> bool {
        let lease = self.context.node().lease;
        self.steady
            .is_some_and(|(since, last)| last - since >= lease)
    }

    async fn connection(&mut self) -> Result<&mut PoolConnection<Postgres>> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.context.node_connections().acquire().await?,
        };
        Ok(self.conn.insert(conn))
    }
}

/// Why boxes are offline when their node stops or starts again. It does not count as flapping.
const RESTARTED: &str = "platform_restart";
/// Why they are when their node was found dead. It does not count either.
const LOST: &str = "node_lost";

fn application_name(pool: &PgPool) -> String {
    let options = pool.connect_options();
    options
        .get_application_name()
        .unwrap_or_default()
        .to_owned()
}

/// Ends the nodes whose leases are over: shows their boxes as offline, and makes due what they had taken. One commit, which
/// only one process makes. The connections of such a node are cut off first, because one that is paused keeps its locks.
pub async fn end_overdue(context: &Context) -> Result<()> {
    let now = context.clock().now();
    let mut tx = context.transaction().await?;
    let ended = store::node::end_overdue(&mut tx).await?;
    if ended.is_empty() {
        return Ok(());
    }
    for node in &ended {
        let connections = store::node::cut_off(&mut tx, &node.connections).await?;
        let (name, incarnation) = (&node.name, node.incarnation);
        tracing::warn!(
            node = name,
            incarnation,
            connections,
            "a node did not renew its lease, and is ended"
        );
        metrics::counter!("nodes_lost_total").increment(1);
    }
    let released = store::node::release_work(&mut tx, now).await?;
    let mut sessions = 0;
    for node in &ended {
        sessions +=
            store::fleet::session::end_of_node(&mut tx, &node.name, None, LOST, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(
        sessions,
        released,
        "sessions of lost nodes are ended, and what they had taken is due again"
    );
    Ok(())
}

/// Gives up the lease for good, and ends the sessions that are left.
pub async fn leave(context: &Context) -> Result<()> {
    let node = context.node();
    node.leaving.store(true, Ordering::Relaxed);
    let now = context.clock().now();
    let mut tx = context.transaction().await?;
    if store::node::leave(&mut tx, &node.name, node.incarnation()).await? {
        store::node::release_work(&mut tx, now).await?;
        store::fleet::session::end_of_node(&mut tx, &node.name, None, RESTARTED, now).await?;
    }
    tx.commit().await?;
    node.lose();
    Ok(())
}

/// All nodes, also those that ended within a day.
pub async fn list(context: &Context) -> Result<Vec<NodeView>> {
    let mut conn = context.fresh().acquire().await?;
    Ok(store::node::list(&mut conn).await?)
}

/// Forgets nodes that ended long ago.
pub(crate) async fn forget(context: &Context, limit: i64) -> Result<u64> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::node::forget(&mut conn, SHOWN_FOR_S, limit).await?)
}
