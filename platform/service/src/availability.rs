//! What this process knows of the database's availability, for readiness.
//!
//! There are two sources. A probe writes when readiness is asked for, at most once a second ([`super::readiness`]). And
//! every use case whose write was refused is noted here: a disk can be full for a payment while a probe still finds
//! a free page. A refusal counts for a few seconds, so that readiness returns by itself.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use store::outage::Outage;
use tokio::time::Instant;

/// How long the result of a probe is used: more questions do not cause more writes.
const PROBE_COUNTS_FOR: Duration = Duration::from_secs(1);
/// How long a refused write makes the process unready.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(5);
/// After how many probes their table is emptied.
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

    /// A refusal of the last few seconds.
    pub(super) fn refused_lately(&self) -> Option<Outage> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .filter(|(at, _)| at.elapsed() < REFUSAL_COUNTS_FOR)
            .map(|(_, outage)| outage)
    }

    /// The result of the last probe, or of a new one by `run` if it is too old. One probe runs at a time.
    pub(super) async fn probed_lately<F>(
        &self,
        run: impl FnOnce() -> F,
    ) -> std::result::Result<(), Outage>
    where
        F: Future<Output = std::result::Result<(), Outage>>,
    {
        let mut probed = self.probed.lock().await;
        match *probed {
            Some((at, outcome)) if at.elapsed() < PROBE_COUNTS_FOR => outcome,
            _ => {
                let outcome = run().await;
                *probed = Some((Instant::now(), outcome));
                outcome
            }
        }
    }

    /// Counts a probe. `true`: there were enough to empty their table.
    pub(super) fn count_probe(&self) -> bool {
        self.probes.fetch_add(1, Ordering::Relaxed) >= PROBES_KEPT_MAX
    }

    /// The table of probes was emptied.
    pub(super) fn forget_probes(&self) {
        self.probes.store(0, Ordering::Relaxed);
    }
}
