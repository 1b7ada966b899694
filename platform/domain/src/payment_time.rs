//! When a payment was made, as far as a partner's clock can be believed.
//!
//! Fees, settlements, statements and announcements go by the business time of a payment: the partner's `paid_at`, limited
//! to the range from `accepted_at` − `age_max` to `accepted_at`. A clock that is ahead (a local time written as UTC, a wrong
//! year) can so neither keep money out of the settlements nor make an old payment sound new; a date of the year 1 is an
//! error and no date. A clock that is far off in either direction is worth an incident.

use chrono::{DateTime, TimeDelta, Utc};

/// What is believed of partners' clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPolicy {
    /// A `paid_at` that differs from our clock by more than this is an incident.
    pub skew_max: TimeDelta,
    /// A payment is not older than this when its message arrives.
    pub age_max: TimeDelta,
}

/// The business time of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentTime {
    /// The moment by which the payment is judged; never after the moment at which it was accepted.
    pub at: DateTime<Utc>,
    /// The partner's clock differs from ours by more than is tolerated.
    pub is_far_off: bool,
}

impl ClockPolicy {
    /// The business time of a payment that the partner took at `paid_at`, if it says so readably, and that we accept
    /// at `accepted_at`.
    pub fn payment_time(
        &self,
        paid_at: Option<DateTime<Utc>>,
        accepted_at: DateTime<Utc>,
    ) -> PaymentTime {
        let Some(paid_at) = paid_at else {
            return PaymentTime {
                at: accepted_at,
                is_far_off: false,
            };
        };
        let earliest = accepted_at
            .checked_sub_signed(self.age_max)
            .unwrap_or(accepted_at);
        PaymentTime {
            at: paid_at.clamp(earliest, accepted_at),
            is_far_off: (paid_at - accepted_at).abs() > self.skew_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: ClockPolicy = ClockPolicy {
        skew_max: TimeDelta::minutes(30),
        age_max: TimeDelta::days(7),
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_earlier_time_counts_and_a_far_off_clock_is_noticed() {
        let accepted = at("2026-05-23T10:00:00Z");
        for (paid_at, expected, is_far_off) in [
            ("2026-05-23T09:59:58Z", "2026-05-23T09:59:58Z", false),
            ("2026-05-23T09:30:00Z", "2026-05-23T09:30:00Z", false),
            ("2026-05-23T10:30:00Z", "2026-05-23T10:00:00Z", false),
            // Jakarta's time written as UTC, and the opposite.
            ("2026-05-23T17:00:00Z", "2026-05-23T10:00:00Z", true),
            ("2026-05-23T03:00:00Z", "2026-05-23T03:00:00Z", true),
            ("2030-01-01T00:00:00Z", "2026-05-23T10:00:00Z", true),
            ("9999-12-31T23:59:59Z", "2026-05-23T10:00:00Z", true),
            ("1970-01-01T00:00:00Z", "2026-05-16T10:00:00Z", true),
            ("0001-01-01T00:00:00Z", "2026-05-16T10:00:00Z", true),
        ] {
            let time = POLICY.payment_time(Some(at(paid_at)), accepted);
            let expected = PaymentTime {
                at: at(expected),
                is_far_off,
            };
            assert_eq!(time, expected, "{paid_at}");
        }
        let unknown = POLICY.payment_time(None, accepted);
        assert_eq!((unknown.at, unknown.is_far_off), (accepted, false));
    }

    proptest! {
        #[test]
        fn business_time_is_bounded_on_both_sides(paid_s in -62_000_000_000_i64..250_000_000_000, accepted_s in 0_i64..4_000_000_000) {
            let moment = |s| DateTime::from_timestamp(s, 0).unwrap();
            let accepted = moment(accepted_s);
            let time = POLICY.payment_time(Some(moment(paid_s)), accepted).at;
            prop_assert!(time <= accepted && time >= accepted - POLICY.age_max);
        }
    }
}
