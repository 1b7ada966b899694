//! The rate limiter of the edge: a generic cell rate.
//!
//! Each cell moves the "theoretical arrival time" on by one interval, and a cell conforms as long as that time is not
//! more than a burst ahead. A limit either refuses what does not conform ([`CellRate::allow`]) or delays it
//! ([`CellRate::delay`]):
//!
//! - new connections of one address are refused (`accept_rate`);
//! - packets of one client are delayed in the transport, which reads nothing meanwhile: TCP then slows the sender, and a
//!   flood costs the other clients a bounded share of the processor;
//! - publishes of one box are delayed before the platform takes them. The PUBACK is delayed with its message, so a
//!   client that respects its window sends less. A client that does not reaches the limit of unacknowledged messages:
//!   beyond it quality 0 is dropped and counted, and quality 1 ends the session.

use std::time::{Duration, Instant};

/// One second's worth may come at once.
const BURST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct CellRate {
    interval: Duration,
    arrival: Option<Instant>,
}

impl CellRate {
    pub(crate) fn new(per_s: u32) -> Self {
        Self {
            interval: BURST / per_s.max(1),
            arrival: None,
        }
    }

    /// Whether one cell conforms now. One that does not is not counted.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let arrival = self.arrival_after(now, 1);
        let conforms = arrival.duration_since(now) <= BURST;
        if conforms {
            self.arrival = Some(arrival);
        }
        conforms
    }

    /// Counts `count` cells, and returns when they conform. `None`: now.
    pub(crate) fn delay(&mut self, now: Instant, count: u32) -> Option<Instant> {
        let arrival = self.arrival_after(now, count);
        self.arrival = Some(arrival);
        arrival.checked_sub(BURST).filter(|due| *due > now)
    }

    /// Whether it is as good as new: nothing that was counted matters any more.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.arrival.is_none_or(|arrival| arrival <= now)
    }

    fn arrival_after(&self, now: Instant, count: u32) -> Instant {
        self.arrival.map_or(now, |arrival| arrival.max(now)) + self.interval * count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_not_delayed_and_what_follows_is_spread_out() {
        let now = Instant::now();
        let mut rate = CellRate::new(10);
        assert!((0..6).all(|_| rate.delay(now, 1).is_none()));
        assert!(rate.delay(now, 4).is_none());
        let delays: Vec<_> = (0..3)
            .map(|_| rate.delay(now, 1).unwrap().duration_since(now).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 300]);
        let later = now + Duration::from_secs(60);
        assert!((0..10).all(|_| rate.delay(later, 1).is_none()));
        assert!(rate.delay(later, 1).is_some());
    }
}
