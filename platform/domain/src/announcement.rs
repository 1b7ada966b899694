//! When a payment may be spoken, and what is known of its being spoken.
//!
//! A payment is spoken in plain words while it is fresh, as a delayed one until it is too old, then not at all.
//! The window is fixed when the payment is accepted and travels with the message, so that the box alone, offline
//! if need be, can keep it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use wire::message::AckStatus;

use crate::text_enum::text_enum;

/// How long a payment is worth speaking of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncementPolicy {
    /// From the payment on, it is spoken in plain words for this long (60 s).
    pub plain_for: TimeDelta,
    /// From the payment on, it is spoken at all for this long (5 min).
    pub announce_for: TimeDelta,
}

impl Default for AnnouncementPolicy {
    fn default() -> Self {
        Self {
            plain_for: TimeDelta::seconds(60),
            announce_for: TimeDelta::minutes(5),
        }
    }
}

/// The times that travel with an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncementWindow {
    /// From here on the delayed words are used.
    pub delayed_after: DateTime<Utc>,
    /// From here on nothing is spoken.
    pub announce_until: DateTime<Utc>,
}

impl AnnouncementPolicy {
    /// The window of a payment that the acquirer took at `paid_at` and we accepted at `accepted_at`.
    ///
    /// The earlier of the two counts, so that neither a late callback nor a partner's clock that runs ahead makes
    /// an old payment sound new. A payment is never born delayed while we are the ones who are on time.
    pub fn window(&self, paid_at: DateTime<Utc>, accepted_at: DateTime<Utc>) -> AnnouncementWindow {
        let start = paid_at.min(accepted_at);
        AnnouncementWindow {
            delayed_after: accepted_at.max(later(start, self.plain_for)),
            announce_until: later(start, self.announce_for),
        }
    }

    /// The window of a replay that an operator asked for at `now`: its own time, always in the delayed words.
    pub fn replay_window(&self, now: DateTime<Utc>) -> AnnouncementWindow {
        AnnouncementWindow {
            delayed_after: now,
            announce_until: later(now, self.announce_for),
        }
    }
}

impl AnnouncementWindow {
    /// Whether nothing may be spoken any more.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.announce_until
    }

    /// Whether the delayed words are the right ones.
    pub fn is_delayed(&self, now: DateTime<Utc>) -> bool {
        now >= self.delayed_after
    }
}

/// `start` plus `length`; at the end of time, the end of time.
fn later(start: DateTime<Utc>, length: TimeDelta) -> DateTime<Utc> {
    start
        .checked_add_signed(length)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

text_enum! {
    /// What is known of one announcement to one box.
    pub enum NotificationStatus as "notification status" {
        /// In the outbox.
        Pending = "pending",
        /// Delivered as far as the broker knows, not yet acknowledged.
        Sent = "sent",
        /// The box has it and is about to speak.
        Received = "received",
        /// The box could not speak it.
        Failed = "failed",
        /// It came to the box, or would have come, after its time.
        Stale = "stale",
        /// It was spoken.
        Played = "played",
    }
}

impl From<AckStatus> for NotificationStatus {
    fn from(ack: AckStatus) -> Self {
        match ack {
            AckStatus::Received => Self::Received,
            AckStatus::Failed => Self::Failed,
            AckStatus::Stale => Self::Stale,
            AckStatus::Played => Self::Played,
        }
    }
}

impl NotificationStatus {
    /// How much is known: pending < sent < received < failed, stale < played. Only a rise is ever recorded, so
    /// acks may come twice, late and in any order.
    pub const fn rank(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Sent => 1,
            Self::Received => 2,
            Self::Failed | Self::Stale => 3,
            Self::Played => 4,
        }
    }

    /// The status after `reported`, or `None` when it is no rise.
    pub fn raised_to(self, reported: Self) -> Option<Self> {
        (reported.rank() > self.rank()).then_some(reported)
    }
}

/// How long to wait for an ack before sending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResendPolicy {
    /// After the first attempt (2 s); doubled with each one more.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

impl Default for ResendPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            longest: Duration::from_secs(64),
        }
    }
}

impl ResendPolicy {
    /// The wait after `attempts` attempts (at least one): 2, 4, 8 … s.
    pub fn wait_after(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn window(paid: i64, accepted: i64) -> AnnouncementWindow {
        AnnouncementPolicy::default().window(at(paid), at(accepted))
    }

    #[test]
    fn a_prompt_payment_is_plain_for_a_minute_and_spoken_for_five() {
        assert_eq!(
            window(0, 1),
            AnnouncementWindow {
                delayed_after: at(60),
                announce_until: at(300)
            }
        );
    }

    #[test]
    fn a_late_callback_is_delayed_at_once() {
        assert_eq!(
            window(0, 90),
            AnnouncementWindow {
                delayed_after: at(90),
                announce_until: at(300)
            }
        );
        assert!(window(0, 90).is_delayed(at(90)));
    }

    #[test]
    fn a_callback_hours_late_is_not_spoken() {
        let window = window(0, 7_200);
        assert_eq!(window.announce_until, at(300));
        assert!(window.is_over(at(7_200)));
    }

    #[test]
    fn a_partner_whose_clock_runs_ahead_gains_nothing() {
        assert_eq!(
            window(600, 0),
            AnnouncementWindow {
                delayed_after: at(60),
                announce_until: at(300)
            }
        );
    }

    #[test]
    fn a_replay_has_its_own_time_and_is_always_delayed() {
        let window = AnnouncementPolicy::default().replay_window(at(1_000));
        assert_eq!(
            window,
            AnnouncementWindow {
                delayed_after: at(1_000),
                announce_until: at(1_300)
            }
        );
        assert!(window.is_delayed(at(1_000)));
        assert!(!window.is_over(at(1_299)));
        assert!(window.is_over(at(1_300)));
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        let end = DateTime::<Utc>::MAX_UTC;
        assert_eq!(
            AnnouncementPolicy::default()
                .window(end, end)
                .announce_until,
            end
        );
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let policy = ResendPolicy::default();
        let seconds: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX]
            .iter()
            .map(|attempts| policy.wait_after(*attempts).as_secs())
            .collect();
        assert_eq!(seconds, [2, 2, 4, 8, 16, 32, 64, 64, 64, 64]);
    }

    #[test]
    fn played_ends_everything_and_failed_and_stale_do_not_replace_each_other() {
        use NotificationStatus::{Failed, Played, Received, Sent, Stale};
        assert_eq!(Sent.raised_to(Played), Some(Played));
        assert_eq!(Failed.raised_to(Played), Some(Played));
        assert_eq!(Stale.raised_to(Failed), None);
        assert_eq!(Failed.raised_to(Stale), None);
        assert_eq!(Played.raised_to(Received), None);
        assert_eq!(Received.raised_to(Received), None);
    }

    proptest! {
        #[test]
        fn acks_in_any_order_only_raise_the_rank(
            acks in proptest::collection::vec(proptest::sample::select(NotificationStatus::ALL), 0..12),
        ) {
            let mut status = NotificationStatus::Pending;
            for ack in &acks {
                let before = status;
                status = status.raised_to(*ack).unwrap_or(status);
                prop_assert!(status.rank() >= before.rank());
            }
            let highest = acks.iter().map(|ack| ack.rank()).max().unwrap_or(0);
            prop_assert_eq!(status.rank(), highest);
        }

        #[test]
        fn a_window_ends_after_the_earlier_time(paid in -100_000_i64..100_000, accepted in -100_000_i64..100_000) {
            let window = window(paid, accepted);
            prop_assert_eq!(window.announce_until, at(paid.min(accepted) + 300));
            prop_assert!(window.delayed_after >= at(accepted));
        }
    }
}
