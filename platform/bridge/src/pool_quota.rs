//! Quotas of the database pool: work that devices cause holds only a part of it, so that payments find a connection free.
//!
//! The pool is first come, first served. When a fleet reconnects at once, thousands of checks and status messages would
//! queue there ahead of the next callback and of the outbox. So each kind of work has a quota of the pool and waits
//! outside of it. Half of the pool is left to payments: callbacks that are applied alone, and the outbox. The batchers of
//! heartbeats, CONNECTs and ends of sessions use one connection each; batches of payments and of their acknowledgements have
//! connections of their own.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The quota of one kind of work.
#[derive(Debug)]
pub(super) struct PoolQuota {
    name: &'static str,
    permits: Semaphore,
}

impl PoolQuota {
    /// A quota of `connections`, at least one.
    fn new(name: &'static str, connections: u32) -> Self {
        Self {
            name,
            permits: Semaphore::new(usize::try_from(connections.max(1)).unwrap_or(usize::MAX)),
        }
    }

    /// Waits for a permit. Dropping it gives it back.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        metrics::counter!("bridge_waits_total", "for" => self.name).increment(1);
        // Never closed. Without a permit the work would go on, only without the quota.
        self.permits.acquire().await.ok()
    }
}

/// All quotas.
#[derive(Debug)]
pub(super) struct PoolQuotas {
    /// The checks before a takeover.
    pub(super) sessions: PoolQuota,
    /// Checks of passwords, which anybody can cause: of their own, so that guessed passwords delay no sessions and no uplinks.
    pub(super) logins: PoolQuota,
    /// Uplinks that have no batcher.
    pub(super) uplinks: PoolQuota,
}

impl PoolQuotas {
    /// A quarter of the pool each, and an eighth for passwords.
    pub(super) fn of(connections: u32) -> Self {
        Self {
            sessions: PoolQuota::new("session", connections / 4),
            logins: PoolQuota::new("login", connections / 8),
            uplinks: PoolQuota::new("uplink", connections / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_quota_limits_one_kind_of_work_and_permits_are_given_back() {
        let quotas = PoolQuotas::of(8);
        let first = quotas.sessions.take().await;
        let second = quotas.sessions.take().await;
        assert!(quotas.sessions.take().now_or_never().is_none(), "full");
        assert!(
            quotas.uplinks.take().now_or_never().is_some(),
            "another quota"
        );
        drop(first);
        assert!(quotas.sessions.take().now_or_never().is_some());
        drop(second);
    }

    #[tokio::test]
    async fn the_smallest_pool_gives_each_kind_one_permit() {
        assert!(PoolQuotas::of(1).uplinks.take().now_or_never().is_some());
    }
}
