//! Where lists, reports and dashboards read: on a streaming replica while there is a usable one, otherwise on the primary,
//! on connections of their own.
//!
//! A replica is usable while it is at most so old as `database.lists_max_lag_s` says. That is checked every second
//! ([`Lists::check`]), by positions in the log of the primary. Single objects, and what decides anything, are read on the
//! primary ([`crate::Context::fresh`]), and so is what somebody reads right after a change of their own ([`fresh`]).

mod lag;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::lag::Positions;
use crate::{Context, Result};

/// How long a check may wait for either server.
const CHECKED_WITHIN: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// Reads of this task go to the primary.
    static FRESH: ();
}

/// Has the lists that `read` reads read on the primary: for somebody who has just changed something.
pub async fn fresh<F: Future>(read: F) -> F::Output {
    FRESH.scope((), read).await
}

/// The connections for lists.
#[derive(Debug)]
pub struct Lists {
    primary: PgPool,
    replica: Option<Replica>,
}

/// A streaming replica, and how old it may be.
#[derive(Debug)]
pub struct Replica {
    pool: PgPool,
    age_max: Duration,
    is_usable: AtomicBool,
    positions: Mutex<Positions>,
}

impl Replica {
    /// A replica that is not used before its first check.
    pub fn new(pool: PgPool, age_max: Duration) -> Self {
        Self {
            pool,
            age_max,
            is_usable: AtomicBool::new(false),
            positions: Mutex::default(),
        }
    }
}

/// Why a replica is not read.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it does not answer: {0}")]
    Unreachable(sqlx::Error),
    #[error("it does not answer in time")]
    Silent,
    #[error("it is no replica")]
    NoReplica,
    #[error("it is of another cluster")]
    AnotherCluster,
    #[error("it is behind by {} s", .0.as_secs())]
    Behind(Duration),
}

impl Lists {
    /// Connections to the primary, and to a replica if there is one.
    pub fn new(primary: PgPool, replica: Option<Replica>) -> Self {
        Self { primary, replica }
    }

    /// The connections to the primary.
    pub fn primary(&self) -> &PgPool {
        &self.primary
    }

    /// For how long a reader may not find its own change in lists; none without a replica.
    pub fn age_max(&self) -> Option<Duration> {
        self.replica.as_ref().map(|replica| replica.age_max)
    }

    /// A connection to read a list from.
    ///
    /// # Errors
    /// The primary's; a replica that fails is not waited for.
    pub async fn acquire(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        if let Some(replica) = self.usable() {
            match replica.pool.acquire().await {
                Ok(conn) => return Ok(conn),
                Err(error) => fell_back(&error),
            }
        }
        self.primary.acquire().await
    }

    /// A transaction for several reads that must be of the same moment.
    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        if let Some(replica) = self.usable() {
            match crate::unit_of_work::snapshot(&replica.pool).await {
                Ok(tx) => return Ok(tx),
                Err(crate::Error::Database(error)) => fell_back(&error),
                Err(error) => return Err(error),
            }
        }
        crate::unit_of_work::snapshot(&self.primary).await
    }

    fn usable(&self) -> Option<&Replica> {
        let replica = self.replica.as_ref()?;
        let is_read = replica.is_usable.load(Ordering::Relaxed) && FRESH.try_with(|()| ()).is_err();
        is_read.then_some(replica)
    }

    /// Checks whether the replica is usable. Nothing to do without one.
    pub async fn check(&self) {
        let Some(replica) = &self.replica else {
            return;
        };
        let checked = self.age(replica).await;
        if let Ok(age) | Err(Unusable::Behind(age)) = &checked {
            metrics::gauge!("database_replica_lag_seconds").set(age.as_secs_f64());
        }
        let found = match checked {
            Ok(age) if age > replica.age_max => Err(Unusable::Behind(age)),
            checked => checked.map(drop),
        };
        metrics::gauge!("database_replica_usable").set(f64::from(u8::from(found.is_ok())));
        let was_usable = replica.is_usable.swap(found.is_ok(), Ordering::Relaxed);
        match found {
            Ok(()) if !was_usable => tracing::info!("lists are read from the replica"),
            Err(reason) if was_usable => {
                tracing::warn!(%reason, "lists are read from the primary, because of the replica");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// How old the replica may be.
    async fn age(&self, replica: &Replica) -> std::result::Result<Duration, Unusable> {
        let mut positions = replica.positions.lock().await;
        // A primary that cannot be asked makes the replica older.
        let asked_at = Instant::now();
        let written = timeout(CHECKED_WITHIN, async {
            store::replica::written(&mut *self.primary.acquire().await?).await
        });
        let written = written.await.ok().and_then(sqlx::Result::ok);
        let replayed = timeout(CHECKED_WITHIN, async {
            store::replica::replayed(&mut *replica.pool.acquire().await?).await
        });
        let replayed = replayed
            .await
            .map_err(|_| Unusable::Silent)?
            .map_err(Unusable::Unreachable)?;
        if !replayed.is_replica {
            return Err(Unusable::NoReplica);
        }
        if let Some(written) = written {
            if written.system_identifier != replayed.system_identifier {
                return Err(Unusable::AnotherCluster);
            }
            positions.note(asked_at, written.position);
        }
        positions
            .age(replayed.position, Instant::now())
            .map_err(Unusable::Behind)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.pool.close().await;
        }
        self.primary.close().await;
    }
}

fn fell_back(error: &sqlx::Error) {
    metrics::counter!("database_replica_failures_total").increment(1);
    tracing::debug!(%error, "the replica gave no connection, and a list is read from the primary");
}

/// Checks whether the replica is usable, as a job.
pub async fn check(context: &Context) -> Result<()> {
    context.lists().check().await;
    Ok(())
}
