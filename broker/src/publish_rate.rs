//! How often one client may publish: what comes faster is slowed, never lost without a word.
//!
//! A generic cell rate: each message moves the client's "theoretical arrival time" on by one interval, and while that
//! time is more than a burst ahead, a message waits for its turn before the platform is asked to take it. Its PUBACK
//! waits with it, so a client that minds its window slows down by itself. One that does not runs into the limit of
//! unacknowledged messages: quality 0 is dropped there and counted, quality 1 ends the session.

use std::time::{Duration, Instant};

/// A burst of one second's worth is let through at once.
const BURST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishRate {
    interval: Duration,
    due: Option<Instant>,
}

impl PublishRate {
    pub(crate) fn new(per_s: u32) -> Self {
        Self {
            interval: BURST / per_s.max(1),
            due: None,
        }
    }

    /// When the message that arrives now may go on; `None`: at once.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due.map_or(now, |due| due.max(now)) + self.interval;
        self.due = Some(due);
        let turn = due.checked_sub(BURST)?;
        (turn > now).then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_on_at_once_and_what_follows_is_spread_out() {
        let now = Instant::now();
        let mut rate = PublishRate::new(10);
        assert!((0..10).all(|_| rate.turn(now).is_none()));
        let turns: Vec<_> = (0..3)
            .map(|_| rate.turn(now).unwrap().duration_since(now).as_millis())
            .collect();
        assert_eq!(turns, [100, 200, 300]);
        let later = now + Duration::from_secs(60);
        assert!((0..10).all(|_| rate.turn(later).is_none()));
        assert!(rate.turn(later).is_some());
    }
}
