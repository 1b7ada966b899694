//! The trusted clock: the platform's time, signed, in answer to this box's own nonce, carried forward by the monotonic
//! clock. A box's wall clock may be years off after a night without power.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// After this time without an answer the request is overdue.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The trusted clock of one box.
#[derive(Debug, Default)]
pub struct TrustedClock {
    requested: Option<(String, Instant)>,
    known: Option<(DateTime<Utc>, Instant)>,
}

impl TrustedClock {
    /// Stores the nonce of a request. Only the answer to the last nonce is accepted.
    pub fn request(&mut self, nonce: String, now: Instant) {
        self.requested = Some((nonce, now));
    }

    /// Sets the clock from an answer. `false`, without a change, when the nonce is not that of the last request.
    pub fn answer(&mut self, nonce: &str, server_time: DateTime<Utc>, now: Instant) -> bool {
        if self
            .requested
            .as_ref()
            .is_none_or(|(requested, _)| requested != nonce)
        {
            return false;
        }
        self.requested = None;
        self.known = Some((server_time, now));
        true
    }

    /// Sets the clock without a request, from an answer that was authenticated otherwise.
    pub fn set(&mut self, server_time: DateTime<Utc>, now: Instant) {
        self.requested = None;
        self.known = Some((server_time, now));
    }

    /// The time, once the clock is set.
    pub fn now(&self, now: Instant) -> Option<DateTime<Utc>> {
        let (server_time, at) = self.known?;
        let elapsed = TimeDelta::from_std(now.saturating_duration_since(at)).ok()?;
        server_time.checked_add_signed(elapsed)
    }

    /// Whether the answer to a request is overdue.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.requested
            .as_ref()
            .is_some_and(|(_, at)| now.saturating_duration_since(*at) >= ANSWER_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_accepted_only_in_answer_to_the_last_nonce() {
        let start = Instant::now();
        let noon: DateTime<Utc> = "2026-05-24T12:00:00Z".parse().unwrap();
        let mut clock = TrustedClock::default();
        assert!(!clock.answer("a", noon, start));
        clock.request("a".to_owned(), start);
        clock.request("b".to_owned(), start);
        assert!(!clock.answer("a", noon, start));
        assert_eq!(clock.now(start), None);
        assert!(clock.answer("b", noon, start));
        assert_eq!(
            clock.now(start + Duration::from_secs(90)),
            Some(noon + TimeDelta::seconds(90))
        );
        assert!(
            !clock.answer("b", noon + TimeDelta::days(1), start),
            "an answer counts once"
        );
    }

    #[test]
    fn an_unanswered_request_becomes_overdue() {
        let start = Instant::now();
        let mut clock = TrustedClock::default();
        assert!(!clock.is_overdue(start + ANSWER_WAIT));
        clock.request("a".to_owned(), start);
        assert!(!clock.is_overdue(start));
        assert!(clock.is_overdue(start + ANSWER_WAIT));
    }
}
