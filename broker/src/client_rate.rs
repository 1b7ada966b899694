//! How often one client may do a thing: what comes faster is taken later, never lost without a word.
//!
//! A generic cell rate: each time moves the client's "theoretical arrival time" on by one interval, and while that time
//! is more than a burst ahead, the client waits for its turn. Two things are counted:
//!
//! - its packets of every kind, in the transport, which reads nothing while their turn has not come: TCP then slows
//!   the sender, and whatever it sends costs its neighbours a bounded share of the processor;
//! - its publishes, before the platform is asked to take them. The PUBACK waits with its message, so a client that minds
//!   its window slows down by itself. One that does not runs into the limit of unacknowledged messages: quality 0 is
//!   dropped there and counted, quality 1 ends the session.

use std::time::{Duration, Instant};

/// A burst of one second's worth is let through at once.
const BURST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientRate {
    interval: Duration,
    due: Option<Instant>,
}

impl ClientRate {
    pub(crate) fn new(per_s: u32) -> Self {
        Self {
            interval: BURST / per_s.max(1),
            due: None,
        }
    }

    /// When what arrives now, and counts as `count`, may go on; `None`: at once.
    pub(crate) fn turn(&mut self, now: Instant, count: u32) -> Option<Instant> {
        let due = self.due.map_or(now, |due| due.max(now)) + self.interval * count;
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
        let mut rate = ClientRate::new(10);
        assert!((0..6).all(|_| rate.turn(now, 1).is_none()));
        assert!(rate.turn(now, 4).is_none());
        let turns: Vec<_> = (0..3)
            .map(|_| rate.turn(now, 1).unwrap().duration_since(now).as_millis())
            .collect();
        assert_eq!(turns, [100, 200, 300]);
        let later = now + Duration::from_secs(60);
        assert!((0..10).all(|_| rate.turn(later, 1).is_none()));
        assert!(rate.turn(later, 1).is_some());
    }
}
