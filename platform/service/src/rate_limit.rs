//! Rates by key: a token bucket (GCRA) for each address, principal or box.
//!
//! A bucket is dropped once it is full again, so memory follows the keys of the last period, even if clients invent keys.
//! One key never uses up another's.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

/// After how many requests full buckets are dropped.
const SWEEP_INTERVAL: u32 = 4096;

/// One bucket for each key.
pub struct KeyedRateLimiter<K: Clone + Eq + Hash, C: Clock = DefaultClock> {
    buckets: RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    taken: AtomicU32,
}

impl<K: Clone + Eq + Hash> KeyedRateLimiter<K> {
    /// Buckets of this size that fill at this rate, by the system's clock.
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, DefaultClock::default())
    }
}

impl<K: Clone + Eq + Hash, C: Clock + Clone> KeyedRateLimiter<K, C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        Self {
            buckets: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            clock,
            taken: AtomicU32::new(0),
        }
    }

    /// Takes one from this key's bucket.
    ///
    /// # Errors
    /// It is empty: after how many seconds there will be one.
    pub fn take(&self, key: &K) -> Result<(), u32> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP_INTERVAL == SWEEP_INTERVAL - 1 {
            self.buckets.retain_recent();
        }
        self.buckets.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            u32::try_from(wait.as_secs())
                .unwrap_or(u32::MAX)
                .saturating_add(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter<K: Clone + Eq + Hash>(
        per_second: u32,
    ) -> (KeyedRateLimiter<K, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap());
        (KeyedRateLimiter::with_clock(quota, clock.clone()), clock)
    }

    #[test]
    fn one_caller_never_uses_up_anothers_quota() {
        let (limiter, clock) = limiter(3);
        for _ in 0..3 {
            assert_eq!(limiter.take(&"a"), Ok(()));
        }
        assert_eq!(limiter.take(&"a"), Err(1));
        assert_eq!(limiter.take(&"b"), Ok(()));
        clock.advance(Duration::from_millis(334));
        assert_eq!(limiter.take(&"a"), Ok(()));
        assert_eq!(limiter.take(&"a"), Err(1));
    }

    #[test]
    fn a_caller_without_requests_for_a_second_is_dropped() {
        let (limiter, clock) = limiter(1000);
        for caller in 0..3 * SWEEP_INTERVAL {
            let _ = limiter.take(&caller);
        }
        clock.advance(Duration::from_secs(1));
        for _ in 0..SWEEP_INTERVAL {
            let _ = limiter.take(&0);
        }
        assert_eq!(limiter.buckets.len(), 1);
    }
}
