//! The timing of a link: heartbeat interval, reconnect jitter and retry backoff.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// The longest backoff of a box, as the device protocol has it.
#[cfg(test)]
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// The longest backoff where a run must go on soon after a fault: tests, scenarios, the demonstration.
pub const BACKOFF_MAX_SHORT: Duration = Duration::from_secs(8);

/// The box's settings that a link follows while they change.
#[derive(Debug)]
pub struct LinkTiming {
    heartbeat_ms: AtomicU64,
    jitter_ms: AtomicU64,
    backoff_max: Duration,
}

impl Default for LinkTiming {
    fn default() -> Self {
        Self::new(BACKOFF_MAX_SHORT)
    }
}

impl LinkTiming {
    /// The timing of a new box, which never waits longer than `backoff_max` and its jitter between two attempts.
    pub fn new(backoff_max: Duration) -> Self {
        Self {
            heartbeat_ms: AtomicU64::new(30_000),
            jitter_ms: AtomicU64::new(0),
            backoff_max,
        }
    }

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

    /// The wait before the same request is sent again.
    pub fn repeat_in(&self, failures: u32) -> Duration {
        backoff_within(failures, self.backoff_max)
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
        backoff_within(failures, self.backoff_max) + spread
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The backoff where a run must go on soon: up to eight seconds.
pub fn backoff(failures: u32) -> Duration {
    backoff_within(failures, BACKOFF_MAX_SHORT)
}

/// Doubles with each failure up to `longest`; the result is drawn between half of that and all of it, so that the boxes of a
/// fleet do not retry at the same time.
fn backoff_within(failures: u32, longest: Duration) -> Duration {
    let whole = BACKOFF_MIN
        .saturating_mul(1 << failures.min(20))
        .min(longest);
    rand::random_range(whole / 2..=whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_spread_and_bounded() {
        for failures in [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX] {
            for longest in [BACKOFF_MAX, BACKOFF_MAX_SHORT] {
                let wait = backoff_within(failures, longest);
                assert!(
                    wait >= BACKOFF_MIN / 2 && wait <= longest,
                    "{failures}: {wait:?}"
                );
            }
        }
        for longest in [BACKOFF_MAX, BACKOFF_MAX_SHORT] {
            assert!(backoff_within(100, longest) >= longest / 2);
        }
    }

    #[test]
    fn the_configured_jitter_spreads_reconnects_after_a_loss() {
        let timing = LinkTiming::new(BACKOFF_MAX);
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
