//! The timing of a link: heartbeat interval, reconnect jitter and retry backoff.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// The box's settings that a link follows while they change.
#[derive(Debug)]
pub struct LinkTiming {
    heartbeat_ms: AtomicU64,
    jitter_ms: AtomicU64,
}

impl Default for LinkTiming {
    fn default() -> Self {
        Self {
            heartbeat_ms: AtomicU64::new(30_000),
            jitter_ms: AtomicU64::new(0),
        }
    }
}

impl LinkTiming {
    /// Takes new settings.
    pub fn set(&self, heartbeat: Duration, jitter: Duration) {
        self.heartbeat_ms
            .store(millis(heartbeat), Ordering::Relaxed);
        self.jitter_ms.store(millis(jitter), Ordering::Relaxed);
    }

    /// The time between heartbeats.
    pub fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.load(Ordering::Relaxed))
    }

    /// The wait before the next attempt. After a connection that was `lost`, the configured jitter is added, so that
    /// a fleet that loses its server does not reconnect all at once.
    pub fn retry_in(&self, failures: u32, lost: bool) -> Duration {
        let jitter = self.jitter_ms.load(Ordering::Relaxed);
        let spread = if lost && jitter > 0 {
            Duration::from_millis(rand::random_range(0..=jitter))
        } else {
            Duration::ZERO
        };
        backoff(failures) + spread
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Doubles with each failure up to eight seconds; the result is drawn between half of that and all of it, so that the
/// boxes of a fleet do not retry at the same time.
pub fn backoff(failures: u32) -> Duration {
    let whole = BACKOFF_MIN
        .saturating_mul(1 << failures.min(6))
        .min(BACKOFF_MAX);
    rand::random_range(whole / 2..=whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_spread_and_bounded() {
        for failures in [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX] {
            let wait = backoff(failures);
            assert!(
                wait >= BACKOFF_MIN / 2 && wait <= BACKOFF_MAX,
                "{failures}: {wait:?}"
            );
        }
        assert!(backoff(100) >= BACKOFF_MAX / 2);
    }

    #[test]
    fn the_configured_jitter_spreads_reconnects_after_a_loss() {
        let timing = LinkTiming::default();
        timing.set(Duration::from_secs(60), Duration::from_secs(600));
        let waits: Vec<Duration> = (0..64).map(|_| timing.retry_in(0, true)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(601)));
        assert!(
            waits.iter().any(|wait| *wait > Duration::from_secs(10)),
            "{waits:?}"
        );
        assert!(
            timing.retry_in(0, false) <= BACKOFF_MIN,
            "jitter is added only after a lost connection"
        );
    }
}
