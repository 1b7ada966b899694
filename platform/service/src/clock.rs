//! The one place that reads the wall clock and mints ids.
//!
//! Everything else takes a [`Clock`] or a time, so that tests can set the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// The source of the current time and of time-ordered ids.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds that tests have moved this clock ahead of the system's.
    offset_us: Arc<AtomicI64>,
    /// Counts the ids of one millisecond, so that they sort in the order in which they were made: rows of
    /// one unit of work have the same time, and lists are in the order of time and id.
    ids: Arc<Mutex<ContextV7>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The current time, UTC, in whole microseconds: the precision of Postgres, so that a time
    /// reads back as it was written.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the time comes from"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::microseconds(self.offset_us.load(Ordering::Relaxed));
        (Utc::now() + offset).trunc_subsecs(6)
    }

    /// A new UUID version 7 (RFC 9562) of the current time; each is greater than the one before.
    pub fn uuid(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        // A panic leaves the value consistent.
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(
            &*ids,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }

    /// Moves this clock and all its clones ahead (or back). For tests.
    pub fn advance(&self, by: TimeDelta) {
        let by = by.num_microseconds().unwrap_or(0);
        self.offset_us.fetch_add(by, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_in_which_they_were_made() {
        let clock = Clock::default();
        let mut made: Vec<Uuid> = (0..10_000).map(|_| clock.uuid()).collect();
        clock.advance(TimeDelta::seconds(-60));
        made.extend((0..10).map(|_| clock.uuid()));
        assert!(made.is_sorted());
    }
}
