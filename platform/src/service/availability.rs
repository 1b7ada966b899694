//! Whether the database takes writes: for readiness.
//!
//! Two things tell. A probe writes when somebody asks, at most once a second. And whatever use case was refused a write
//! says so here: a disk can be full for a payment while one more page is found for a probe. What was refused counts for
//! a few seconds, so readiness comes back by itself once nothing is refused any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Context, Result};
use crate::store;
use crate::store::outage::Outage;

/// How long a probe may take, waiting for a connection included.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// How long the outcome of a probe is good: whoever asks more often does not make us write more often.
const PROBE_COUNTS_FOR: Duration = Duration::from_secs(1);
/// How long a refused write makes the process unready.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(5);
/// After how many probes their pages are given back.
const PROBES_KEPT_MAX: u32 = 64;

/// What is known of the database's availability.
#[derive(Debug, Default)]
pub struct Availability {
    refused: Mutex<Option<(Instant, Outage)>>,
    probed: tokio::sync::Mutex<Option<(Instant, std::result::Result<(), Outage>)>>,
    probes: AtomicU32,
}

impl Availability {
    /// Notes that a use case was refused.
    pub fn note(&self, outage: Outage) {
        if outage.is_of_the_server() {
            metrics::counter!("database_outages_total", "reason" => outage.to_string())
                .increment(1);
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), outage));
        }
    }

    fn refused_lately(&self) -> Option<Outage> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .filter(|(at, _)| at.elapsed() < REFUSAL_COUNTS_FOR)
            .map(|(_, outage)| outage)
    }
}

/// Whether the database takes writes.
///
/// # Errors
/// Why it does not.
pub async fn check(context: &Context) -> std::result::Result<(), Outage> {
    let availability = context.availability();
    // One probe at a time, whoever asks.
    let mut probed = availability.probed.lock().await;
    let outcome = match *probed {
        Some((at, outcome)) if at.elapsed() < PROBE_COUNTS_FOR => outcome,
        _ => {
            let outcome = match timeout(PROBE_WITHIN, probe(context)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the database does not take writes");
                    Err(error.outage().unwrap_or(Outage::StorageFailure))
                }
                Err(_) => Err(Outage::Unreachable),
            };
            *probed = Some((Instant::now(), outcome));
            outcome
        }
    };
    drop(probed);
    outcome?;
    availability.refused_lately().map_or(Ok(()), Err)
}

async fn probe(context: &Context) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    store::write_probe::insert(&mut conn, context.clock().now()).await?;
    drop(conn);
    let probes = &context.availability().probes;
    if probes.fetch_add(1, Ordering::Relaxed) >= PROBES_KEPT_MAX {
        let mut tx = context.transaction().await?;
        // A reader of the table is no outage; the next probe tries again.
        if store::write_probe::clear(&mut tx).await.is_ok() {
            tx.commit().await?;
            probes.store(0, Ordering::Relaxed);
        }
    }
    Ok(())
}
