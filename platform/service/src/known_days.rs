//! The days for which this process has created partitions.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use chrono::NaiveDate;

/// The days whose partitions exist for certain; none until this process has created some.
#[derive(Debug, Default)]
pub(super) struct KnownDays(Mutex<Option<RangeInclusive<NaiveDate>>>);

impl KnownDays {
    pub(super) fn lacks(&self, day: NaiveDate) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|days| !days.contains(&day))
    }

    pub(super) fn set(&self, days: RangeInclusive<NaiveDate>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(days);
    }
}
