//! How often a box beats, and how patiently it comes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// What a link has to know of the box's settings, as they change.
#[derive(Debug)]
pub struct Pace {
    beat_ms: AtomicU64,
    jitter_ms: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            beat_ms: AtomicU64::new(30_000),
            jitter_ms: AtomicU64::new(0),
        }
    }
}

impl Pace {
    /// Takes new settings.
    pub fn set(&self, beat: Duration, jitter: Duration) {
        self.beat_ms.store(millis(beat), Ordering::Relaxed);
        self.jitter_ms.store(millis(jitter), Ordering::Relaxed);
    }

    /// The time between beats.
    pub fn beat(&self) -> Duration {
        Duration::from_millis(self.beat_ms.load(Ordering::Relaxed))
    }

    /// The wait before the next attempt. After a connection that was `lost`, the configured jitter comes in addition,
    /// so that a fleet that loses its server at once does not come back at once.
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

/// Doubled each time up to eight seconds, and then anywhere between half of that and all of it, so that a fleet does
/// not come back in step.
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
    fn the_way_back_is_patient_and_bounded() {
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
    fn the_configured_jitter_spreads_those_who_lost_their_connection() {
        let pace = Pace::default();
        pace.set(Duration::from_secs(60), Duration::from_secs(600));
        let waits: Vec<Duration> = (0..64).map(|_| pace.retry_in(0, true)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(601)));
        assert!(
            waits.iter().any(|wait| *wait > Duration::from_secs(10)),
            "{waits:?}"
        );
        assert!(
            pace.retry_in(0, false) <= BACKOFF_MIN,
            "a first attempt has no reason to wait"
        );
    }
}
