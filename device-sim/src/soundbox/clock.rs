//! The only time a box believes: what the platform said, signed, in answer to this box's own nonce, carried forward
//! by the monotonic clock. A box's wall clock may be years off after a night without power.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// How long an answer may take before the box asks again.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The trusted clock of one box.
#[derive(Debug, Default)]
pub struct TrustedClock {
    asked: Option<(String, Instant)>,
    known: Option<(DateTime<Utc>, Instant)>,
}

impl TrustedClock {
    /// Remembers the one nonce whose answer will be believed; an earlier one is void.
    pub fn ask(&mut self, nonce: String, now: Instant) {
        self.asked = Some((nonce, now));
    }

    /// Takes an answer. `false` when nobody asked with this nonce, and then nothing changes.
    pub fn answer(&mut self, nonce: &str, server_time: DateTime<Utc>, now: Instant) -> bool {
        if self.asked.as_ref().is_none_or(|(asked, _)| asked != nonce) {
            return false;
        }
        self.asked = None;
        self.known = Some((server_time, now));
        true
    }

    /// Takes the time without a question, from an answer that is proven otherwise.
    pub fn tell(&mut self, server_time: DateTime<Utc>, now: Instant) {
        self.asked = None;
        self.known = Some((server_time, now));
    }

    /// The time, once it is known.
    pub fn now(&self, now: Instant) -> Option<DateTime<Utc>> {
        let (server_time, at) = self.known?;
        let elapsed = TimeDelta::from_std(now.saturating_duration_since(at)).ok()?;
        server_time.checked_add_signed(elapsed)
    }

    /// Whether an answer is outstanding for too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.asked
            .as_ref()
            .is_some_and(|(_, at)| now.saturating_duration_since(*at) >= ANSWER_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_believed_only_in_answer_to_the_last_nonce() {
        let start = Instant::now();
        let noon: DateTime<Utc> = "2026-05-24T12:00:00Z".parse().unwrap();
        let mut clock = TrustedClock::default();
        assert!(!clock.answer("a", noon, start));
        clock.ask("a".to_owned(), start);
        clock.ask("b".to_owned(), start);
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
    fn an_unanswered_question_becomes_overdue() {
        let start = Instant::now();
        let mut clock = TrustedClock::default();
        assert!(!clock.is_overdue(start + ANSWER_WAIT));
        clock.ask("a".to_owned(), start);
        assert!(!clock.is_overdue(start));
        assert!(clock.is_overdue(start + ANSWER_WAIT));
    }
}
