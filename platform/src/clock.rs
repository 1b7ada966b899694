//! The one place that reads the wall clock and mints ids.
//!
//! Everything else takes a [`Clock`] or a time, so that a test can stand at any moment it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// The source of the present moment and of time-ordered ids.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds that tests have moved this clock ahead of the system's.
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shows the system's time.
    pub fn system() -> Self {
        Self::default()
    }

    /// The present moment, UTC, in whole microseconds: what Postgres can keep, so that a time
    /// reads back as it was written.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the time comes from"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::microseconds(self.offset_us.load(Ordering::Relaxed));
        (Utc::now() + offset).trunc_subsecs(6)
    }

    /// A new UUID version 7 (RFC 9562) of the present moment.
    pub fn uuid(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(
            NoContext,
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
