//! How far behind a replica is, by this process's own clock.
//!
//! At each check the primary's position in its log is noted with the moment before it was asked. A replica that has applied
//! a noted position has everything that was committed before that moment, so it is at most as old as the latest such moment.
//! The clocks of the servers do not matter, and a replica that has lost its primary does not look fresh: its position stays.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many positions are kept: ten minutes of checks. A replica that is further behind is as far behind as the first.
const KEPT_MAX: usize = 600;

/// Positions of the primary.
#[derive(Debug, Default)]
pub(super) struct Positions {
    noted: VecDeque<(Instant, i64)>,
}

impl Positions {
    /// Notes that the primary was at this position at a moment, or after it.
    pub(super) fn note(&mut self, at: Instant, position: i64) {
        // Another server was promoted, and its log does not have what the last one wrote at the end.
        if self.noted.back().is_some_and(|(_, last)| *last > position) {
            self.noted.clear();
        }
        self.noted.push_back((at, position));
        if self.noted.len() > KEPT_MAX {
            self.noted.pop_front();
        }
    }

    /// How old the data of a replica at this position may be. `Err`: it has not applied any noted position, and is at least so
    /// far behind.
    pub(super) fn age(&mut self, applied: i64, now: Instant) -> Result<Duration, Duration> {
        let known = self
            .noted
            .iter()
            .rposition(|(_, position)| *position <= applied);
        match known {
            Some(place) => {
                // What is before it is of no more use.
                self.noted.drain(..place);
                let at = self.noted.front().map_or(now, |(at, _)| *at);
                Ok(now.saturating_duration_since(at))
            }
            None => {
                let first = self.noted.front().map_or(now, |(at, _)| *at);
                Err(now.saturating_duration_since(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_replica_is_as_old_as_the_latest_position_that_it_has() {
        let begin = Instant::now();
        let mut positions = Positions::default();
        assert_eq!(positions.age(100, begin), Err(Duration::ZERO));
        positions.note(begin, 100);
        positions.note(begin + SECOND, 200);
        positions.note(begin + 2 * SECOND, 300);
        let now = begin + 3 * SECOND;
        assert_eq!(positions.age(99, now), Err(3 * SECOND));
        assert_eq!(positions.age(100, now), Ok(3 * SECOND));
        assert_eq!(positions.age(250, now), Ok(2 * SECOND));
        assert_eq!(positions.age(300, now), Ok(SECOND));
        // It stays where it is, and gets older.
        assert_eq!(positions.age(300, now + SECOND), Ok(2 * SECOND));
    }

    #[test]
    fn a_primary_that_writes_nothing_leaves_its_replica_fresh() {
        let begin = Instant::now();
        let mut positions = Positions::default();
        for second in 0..2000_u32 {
            positions.note(begin + second * SECOND, 100);
        }
        assert_eq!(positions.noted.len(), KEPT_MAX);
        assert_eq!(
            positions.age(100, begin + 1999 * SECOND),
            Ok(Duration::ZERO)
        );
    }

    #[test]
    fn positions_of_a_primary_that_was_replaced_do_not_count() {
        let begin = Instant::now();
        let mut positions = Positions::default();
        positions.note(begin, 500);
        positions.note(begin + SECOND, 400);
        assert_eq!(positions.age(399, begin + 2 * SECOND), Err(SECOND));
        assert_eq!(positions.age(400, begin + 2 * SECOND), Ok(SECOND));
    }
}
