//! Shares of the database: what boxes cause is let in a few at a time, so that payments find a connection free.
//!
//! The pool of connections is first come, first served. When a fleet comes back at once, thousands of admissions and of
//! first words would stand in that queue before the next callback of an acquirer, and before the outbox. So each kind
//! may hold only its share of the pool, waits outside of it, and never sums up to all of it: payments (callbacks, the
//! outbox, the lane of payment acknowledgements) always have half.

use tokio::sync::{Semaphore, SemaphorePermit};

/// One kind of work's share.
#[derive(Debug)]
pub(super) struct Share {
    name: &'static str,
    permits: Semaphore,
}

impl Share {
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

/// All shares.
#[derive(Debug)]
pub(super) struct Shares {
    /// Boxes that ask to be let in, and the ends of their sessions.
    pub(super) sessions: Share,
    /// What boxes say besides heartbeats and payment acknowledgements, which have lanes.
    pub(super) uplinks: Share,
}

impl Shares {
    /// A quarter of the pool each.
    pub(super) fn of(connections: u32) -> Self {
        Self {
            sessions: Share::new("session", connections / 4),
            uplinks: Share::new("uplink", connections / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_share_is_held_by_a_few_and_handed_on() {
        let shares = Shares::of(8);
        let first = shares.sessions.take().await;
        let second = shares.sessions.take().await;
        assert!(shares.sessions.take().now_or_never().is_none(), "full");
        assert!(shares.uplinks.take().now_or_never().is_some(), "another's");
        drop(first);
        assert!(shares.sessions.take().now_or_never().is_some());
        drop(second);
    }

    #[tokio::test]
    async fn the_smallest_pool_leaves_something_to_everybody() {
        assert!(Shares::of(1).uplinks.take().now_or_never().is_some());
    }
}
