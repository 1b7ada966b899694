//! A circuit breaker: stops calls to a partner that does not answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Opens after `failures_max` failures in a row; after a pause it lets one call through, whose result decides.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    failures: u32,
    /// While it is open: until when no call is made.
    open_until: Option<Instant>,
}

impl Breaker {
    /// A breaker that lets all calls through.
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max: failures_max.max(1),
            pause,
            state: Mutex::default(),
        }
    }

    /// Whether a call may be made now. The caller then reports its result.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // One call tries; the others wait for another pause, or for its success.
                state.open_until = Some(now + self.pause);
                true
            }
        }
    }

    /// Whether calls are held back now.
    pub fn is_open(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_some_and(|until| now < until)
    }

    /// The partner answered.
    pub fn succeeded(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The partner did not answer.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.failures_max {
            state.open_until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let breaker = Breaker::new(3, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..2 {
            breaker.failed(at(0));
        }
        breaker.succeeded();
        for _ in 0..2 {
            breaker.failed(at(0));
        }
        assert!(breaker.admits(at(0)), "not three in a row");
        breaker.failed(at(0));
        assert!(!breaker.admits(at(9)));
        assert!(breaker.admits(at(10)), "one tries");
        assert!(!breaker.admits(at(11)), "and only one");
        breaker.failed(at(12));
        assert!(!breaker.admits(at(21)));
        assert!(breaker.admits(at(22)));
        breaker.succeeded();
        assert!(breaker.admits(at(22)) && breaker.admits(at(22)));
    }
}
