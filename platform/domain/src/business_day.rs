//! Business days in Jakarta: WIB is UTC+7 all year round.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::wib;

/// A business day that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusinessDay {
    /// The date on which it ended, in WIB: with days that end at 00:00 what was paid on 23 May is of the day 24 May.
    pub date: NaiveDate,
    /// The moment at which it ended: its run claims what was paid before.
    pub cutoff: DateTime<Utc>,
}

impl BusinessDay {
    /// The day that ended last before `now`, when days end at `ends_at` (WIB).
    ///
    /// Gives none for moments that no calendar has.
    pub fn last_ended(now: DateTime<Utc>, ends_at: NaiveTime) -> Option<Self> {
        let today = wib::local(now).date();
        [today, today.pred_opt()?].into_iter().find_map(|date| {
            let cutoff = wib::moment(date, ends_at)?;
            (cutoff <= now).then_some(Self { date, cutoff })
        })
    }

    /// Whether `grace` has passed since it ended.
    pub fn is_due(&self, now: DateTime<Utc>, grace: TimeDelta) -> bool {
        now - self.cutoff >= grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(now: &str, ends_at: &str) -> (String, String) {
        let day = BusinessDay::last_ended(now.parse().unwrap(), ends_at.parse().unwrap()).unwrap();
        (day.date.to_string(), day.cutoff.to_rfc3339())
    }

    #[test]
    fn a_day_ends_by_the_clocks_of_jakarta() {
        let midnight = (
            "2026-05-24".to_owned(),
            "2026-05-23T17:00:00+00:00".to_owned(),
        );
        assert_eq!(last("2026-05-23T17:00:00Z", "00:00:00"), midnight);
        assert_eq!(last("2026-05-24T16:59:59Z", "00:00:00"), midnight);
        assert_eq!(last("2026-05-24T17:00:00Z", "00:00:00").0, "2026-05-25");
        let evening = (
            "2026-05-23".to_owned(),
            "2026-05-23T15:30:00+00:00".to_owned(),
        );
        assert_eq!(last("2026-05-23T15:30:00Z", "22:30:00"), evening);
        assert_eq!(last("2026-05-24T15:29:59Z", "22:30:00"), evening);
    }

    #[test]
    fn callbacks_that_are_on_their_way_when_a_day_ends_have_time_to_come() {
        let now: DateTime<Utc> = "2026-05-23T17:10:00Z".parse().unwrap();
        let day = BusinessDay::last_ended(now, NaiveTime::MIN).unwrap();
        assert!(day.is_due(now, TimeDelta::minutes(10)));
        assert!(!day.is_due(now, TimeDelta::minutes(11)));
    }
}
