//! PoolQuotas of the database: what boxes cause is let in a few at a time, so that payments find a connection free.
//!
//! The pool of connections is first come, first served. When a fleet comes back at once, thousands of admissions and of
//! first words would stand in that queue before the next callback of an acquirer, and before the outbox. So each kind
//! may hold only its quota of the pool, waits outside of it, and never sums up to all of it: payments (callbacks, the
//! outbox, the batcher of payment acknowledgements) always have half.

use tokio::sync::{Semaphore, SemaphorePermit};

/// One kind of work's quota.
#[derive(Debug)]
pub(super) struct PoolQuota {
    name: &'static str,
    permits: Semaphore,
}

impl PoolQuota {
    /// `connections` of the pool, at least one.
    fn new(name: &'static str, connections: u32) -> Self {
        Self {
            name,
            permits: Semaphore::new(usize::try_from(connections.max(1)).unwrap_or(usize::MAX)),
        }
    }

    /// Waits for a place. Dropping the permit gives it back.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        metrics::counter!("bridge_waits_total", "for" => self.name).increment(1);
        // It is never closed; without a permit the work goes on, only less politely.
        self.permits.acquire().await.ok()
    }
}

/// All quotas.
#[derive(Debug)]
pub(super) struct PoolQuotas {
    /// Boxes that ask to be let in, and the ends of their sessions.
    pub(super) sessions: PoolQuota,
    /// What boxes say besides heartbeats and payment acknowledgements, which have batchers.
    pub(super) uplinks: PoolQuota,
}

impl PoolQuotas {
    /// A quarter of the pool each.
    pub(super) fn of(connections: u32) -> Self {
        Self {
            sessions: PoolQuota::new("session", connections / 4),
            uplinks: PoolQuota::new("uplink", connections / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_share_is_held_by_a_few_and_handed_on() {
        let quotas = PoolQuotas::of(8);
        let first = quotas.sessions.take().await;
        let second = quotas.sessions.take().await;
        assert!(quotas.sessions.take().now_or_never().is_none(), "full");
        assert!(quotas.uplinks.take().now_or_never().is_some(), "another's");
        drop(first);
        assert!(quotas.sessions.take().now_or_never().is_some());
        drop(second);
    }

    #[tokio::test]
    async fn the_smallest_pool_leaves_something_to_everybody() {
        assert!(PoolQuotas::of(1).uplinks.take().now_or_never().is_some());
    }
}
