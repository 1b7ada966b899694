//! The roll-out of a bulk command: how fast, in which steps, and until which failures.
//!
//! The boxes of a roll-out have a fixed order. Commands are released in that order at a rate; at the end of each step (the
//! canary, then each phase) nothing is released until every command so far has ended. Too large a share of failed commands,
//! or payments that are played less often on updated boxes, aborts it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;
use crate::validation::FieldError;

/// The fastest roll-out: a thousand commands a second.
pub const RATE_PER_MINUTE_MAX: u32 = 60_000;
/// The most phases.
const PHASES_MAX: usize = 20;
/// The largest sample that may be asked for.
const SAMPLE_MAX: u32 = 100_000;
/// How much of its rate a rollout makes up for after it was held up (by a restart, by a busy database).
const CATCH_UP: TimeDelta = TimeDelta::seconds(2);

text_enum! {
    /// The state of a roll-out.
    pub enum RolloutStatus as "bulk command status" {
        /// Commands are released.
        Running = "running",
        /// An operator holds it.
        Paused = "paused",
        /// It stopped by itself, because too much went wrong; an operator may let it go on.
        Aborted = "aborted",
        /// An operator ended it; open commands were cancelled.
        Cancelled = "cancelled",
        /// Every command has ended.
        Completed = "completed",
    }
}

/// A step that a rollout's standing does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bulk command that is {current} cannot become {wanted}")]
pub struct InvalidStep {
    /// The current state.
    pub current: RolloutStatus,
    /// Where it was to go.
    pub wanted: RolloutStatus,
}

impl RolloutStatus {
    /// Held by an operator.
    ///
    /// # Errors
    /// Unless it is running.
    pub fn pause(self) -> Result<Self, InvalidStep> {
        match self {
            Self::Running => Ok(Self::Paused),
            _ => Err(self.refuse(Self::Paused)),
        }
    }

    /// Let go on by an operator.
    ///
    /// # Errors
    /// Unless it is paused or aborted.
    pub fn resume(self) -> Result<Self, InvalidStep> {
        match self {
            Self::Paused | Self::Aborted => Ok(Self::Running),
            _ => Err(self.refuse(Self::Running)),
        }
    }

    /// Ended by an operator, for good.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cancel(self) -> Result<Self, InvalidStep> {
        match self {
            Self::Running | Self::Paused | Self::Aborted => Ok(Self::Cancelled),
            _ => Err(self.refuse(Self::Cancelled)),
        }
    }

    const fn refuse(self, wanted: Self) -> InvalidStep {
        InvalidStep {
            current: self,
            wanted,
        }
    }
}

fn sample_default() -> u32 {
    20
}

/// How fast, in which steps, and until which failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Orders a minute.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 60000))]
    pub rate_per_minute: u32,
    /// How many boxes get theirs first; 0: none.
    #[serde(default)]
    pub canary: u32,
    /// Percentages of all boxes, rising, at which it waits for every order so far to end; 100 is the last by itself.
    #[serde(default)]
    pub phases: Vec<u8>,
    /// The share of ended orders that failed or timed out at which it aborts, percent.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub abort_threshold_percent: u8,
    /// How many orders must have ended before that is judged within a step; at its end all of them are judged.
    #[serde(default = "sample_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub min_sample: u32,
}

/// How the commands of a roll-out ended so far (since it was last resumed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// All that were carried out, failed or timed out. What was taken back does not count.
    pub all: u64,
    /// Of these, failed or timed out.
    pub failed: u64,
}

impl Rollout {
    /// Checks the limits.
    ///
    /// # Errors
    /// Each field that breaks one, as `rollout.…`.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, field: &str, rule: String| {
            if !holds {
                wrong.push(FieldError::new(format!("rollout.{field}"), rule));
            }
        };
        require(
            (1..=RATE_PER_MINUTE_MAX).contains(&self.rate_per_minute),
            "rate_per_minute",
            format!("from 1 to {RATE_PER_MINUTE_MAX}"),
        );
        let rising = self.phases.windows(2).all(|pair| pair[0] < pair[1]);
        let percents = self
            .phases
            .iter()
            .all(|percent| (1..=100).contains(percent));
        require(
            rising && percents && self.phases.len() <= PHASES_MAX,
            "phases",
            format!("at most {PHASES_MAX} percentages from 1 to 100, each above the one before"),
        );
        require(
            (1..=100).contains(&self.abort_threshold_percent),
            "abort_threshold_percent",
            "from 1 to 100".to_owned(),
        );
        require(
            (1..=SAMPLE_MAX).contains(&self.min_sample),
            "min_sample",
            format!("from 1 to {SAMPLE_MAX}"),
        );
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// How many of `total` boxes have had theirs at the end of each step, rising; the last is `total`.
    pub fn steps(&self, total: u32) -> Vec<u32> {
        let percent = |percent: &u8| {
            let boxes = (u64::from(total) * u64::from(*percent)).div_ceil(100);
            u32::try_from(boxes).unwrap_or(total)
        };
        let mut ends = Vec::with_capacity(self.phases.len() + 2);
        let wanted = std::iter::once(self.canary).chain(self.phases.iter().map(percent));
        for end in wanted.chain(std::iter::once(total)) {
            let end = end.min(total);
            if ends.last().is_none_or(|last| *last < end) && end > 0 {
                ends.push(end);
            }
        }
        ends
    }

    /// Whether too many failed. `whole`: the step is over, so that a sample that is too small will not grow.
    pub fn aborts(&self, ended: Ended, whole: bool) -> bool {
        let judged = whole || ended.all >= u64::from(self.min_sample);
        judged
            && ended.failed > 0
            && ended.failed * 100 >= ended.all * u64::from(self.abort_threshold_percent)
    }

    /// How many commands are released now, at most `most`, and when the next one may be. `next_at` is the answer of the
    /// last call.
    pub fn release(
        &self,
        next_at: DateTime<Utc>,
        now: DateTime<Utc>,
        most: u32,
    ) -> (u32, DateTime<Utc>) {
        let interval_us =
            60_000_000 / i64::from(self.rate_per_minute.clamp(1, RATE_PER_MINUTE_MAX));
        let from = next_at.max(now - CATCH_UP);
        if from > now || most == 0 {
            return (0, next_at);
        }
        let due = (now - from).num_microseconds().unwrap_or(0) / interval_us + 1;
        let count = u32::try_from(due).unwrap_or(u32::MAX).min(most);
        (
            count,
            from + TimeDelta::microseconds(interval_us * i64::from(count)),
        )
    }
}

fn rise_default() -> u8 {
    5
}

fn confirmed_default() -> u32 {
    1800
}

/// What a rollout of a firmware looks at besides: whether boxes that took it are still heard, and say that they run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// By how many percentage points the share of payments that are not heard may be larger on updated boxes.
    #[serde(default = "rise_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub unheard_rise_percent: u8,
    /// How many payments updated boxes must have had before that is judged.
    #[serde(default = "sample_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub unheard_min_sample: u32,
    /// Seconds after which a box that took the update and does not say that it runs it counts as failed.
    #[serde(default = "confirmed_default")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 604_800))]
    pub confirm_within_s: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            unheard_rise_percent: rise_default(),
            unheard_min_sample: sample_default(),
            confirm_within_s: confirmed_default(),
        }
    }
}

/// Payments of some boxes, and how many of them were not heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Heard {
    /// All.
    pub payments: u64,
    /// Of these, not played.
    pub unheard: u64,
}

/// What the guard of a rollout last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GuardSeen {
    /// Boxes that took the update, since they did.
    pub updated: Heard,
    /// All others of the model, and the same ones before.
    pub rest: Heard,
    /// Boxes that took the update and do not say that they run it; they count as failed.
    pub unconfirmed: u64,
}

impl Guard {
    /// Checks the limits.
    ///
    /// # Errors
    /// Each field that breaks one, as `guard.…`.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, field: &str, rule: &str| {
            if !holds {
                wrong.push(FieldError::new(format!("guard.{field}"), rule));
            }
        };
        require(
            (1..=100).contains(&self.unheard_rise_percent),
            "unheard_rise_percent",
            "from 1 to 100",
        );
        require(
            (1..=SAMPLE_MAX).contains(&self.unheard_min_sample),
            "unheard_min_sample",
            "from 1 to 100000",
        );
        require(
            (60..=604_800).contains(&self.confirm_within_s),
            "confirm_within_s",
            "from 60 to 604800",
        );
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Whether updated boxes are heard so much less than the rest that the rollout aborts. A rest that is too small a
    /// sample is taken for one that is always heard: to hold a rollout costs little.
    pub fn aborts(&self, updated: Heard, rest: Heard) -> bool {
        let sample = u64::from(self.unheard_min_sample);
        if updated.payments < sample {
            return false;
        }
        let rest = if rest.payments < sample {
            Heard::default()
        } else {
            rest
        };
        // updated.unheard / updated.payments ≥ rest.unheard / rest.payments + rise / 100, without fractions.
        let rest_payments = u128::from(rest.payments.max(1));
        let rise = u128::from(self.unheard_rise_percent);
        u128::from(updated.unheard) * 100 * rest_payments
            >= (u128::from(rest.unheard) * 100 + rise * rest_payments)
                * u128::from(updated.payments)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rollout(rate_per_minute: u32, canary: u32, phases: &[u8]) -> Rollout {
        Rollout {
            rate_per_minute,
            canary,
            phases: phases.to_vec(),
            abort_threshold_percent: 3,
            min_sample: 20,
        }
    }

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_800_000_000_000_000 + micros).unwrap()
    }

    #[test]
    fn steps_rise_to_all() {
        assert_eq!(rollout(1, 0, &[]).steps(60), [60]);
        assert_eq!(rollout(1, 5, &[10, 50]).steps(60), [5, 6, 30, 60]);
        assert_eq!(rollout(1, 10, &[1, 100]).steps(60), [10, 60]);
        assert_eq!(rollout(1, 100, &[50]).steps(60), [60]);
        assert_eq!(rollout(1, 1, &[1]).steps(1), [1]);
    }

    #[test]
    fn limits_are_named() {
        let mut wrong = rollout(0, 0, &[50, 50]);
        wrong.abort_threshold_percent = 101;
        wrong.min_sample = 0;
        let fields: Vec<String> = wrong
            .check()
            .unwrap_err()
            .into_iter()
            .map(|e| e.field)
            .collect();
        assert_eq!(
            fields,
            [
                "rollout.rate_per_minute",
                "rollout.phases",
                "rollout.abort_threshold_percent",
                "rollout.min_sample"
            ]
        );
        assert_eq!(rollout(60_000, 1, &[1, 100]).check(), Ok(()));
        assert!(rollout(60_001, 1, &[]).check().is_err());
        assert!(rollout(1, 1, &[0]).check().is_err());
        assert!(rollout(1, 1, &[101]).check().is_err());
    }

    #[test]
    fn it_aborts_at_its_threshold_and_not_before_its_sample() {
        let plan = rollout(1, 0, &[]);
        let aborts = |all, failed, whole| plan.aborts(Ended { all, failed }, whole);
        assert!(!aborts(19, 19, false), "the sample is too small");
        assert!(aborts(19, 19, true), "the step is over");
        assert!(!aborts(100, 2, false));
        assert!(aborts(100, 3, false));
        assert!(!aborts(1000, 29, true));
        assert!(aborts(1000, 30, true));
        assert!(!aborts(0, 0, true));
    }

    #[test]
    fn a_minute_has_its_rate_and_a_hold_up_is_not_made_up_for() {
        let plan = rollout(600, 0, &[]);
        let (mut next, mut sent) = (at(0), 0);
        for second in 0..60 {
            let (count, then) = plan.release(next, at(second * 1_000_000), 1000);
            (next, sent) = (then, sent + count);
        }
        assert_eq!(sent, 591, "one at once, then ten a second");
        // After an hour of standing still: two seconds' worth, and not 36,000.
        assert_eq!(plan.release(next, at(3_660_000_000), 1000).0, 21);
        // Slower than one a step.
        let slow = rollout(1, 0, &[]);
        let (count, next) = slow.release(at(0), at(0), 1000);
        assert_eq!((count, next), (1, at(60_000_000)));
        assert_eq!(slow.release(next, at(59_999_999), 1000), (0, next));
        assert_eq!(slow.release(next, at(60_000_000), 1000).0, 1);
        assert_eq!(slow.release(at(0), at(0), 0), (0, at(0)));
    }

    #[test]
    fn updated_boxes_are_compared_with_the_rest() {
        let guard = Guard::default();
        let aborts = |updated: (u64, u64), rest: (u64, u64)| {
            let heard = |(payments, unheard)| Heard { payments, unheard };
            guard.aborts(heard(updated), heard(rest))
        };
        assert!(!aborts((19, 19), (1000, 0)), "the sample is too small");
        assert!(aborts((100, 5), (1000, 0)));
        assert!(!aborts((100, 4), (1000, 0)));
        assert!(
            !aborts((100, 14), (1000, 100)),
            "the network is bad for all"
        );
        assert!(aborts((100, 15), (1000, 100)));
        assert!(aborts((20, 1), (0, 0)));
        assert!(aborts((100, 5), (19, 19)), "the rest says nothing yet");
        assert!(!aborts((1000, 0), (0, 0)));
    }

    #[test]
    fn every_step_of_a_standing_is_allowed_or_refused() {
        use RolloutStatus::{Aborted, Cancelled, Paused, Running};
        let reached = |step: fn(RolloutStatus) -> Result<RolloutStatus, InvalidStep>| -> Vec<_> {
            RolloutStatus::ALL
                .iter()
                .map(|status| step(*status).ok())
                .collect()
        };
        assert_eq!(
            reached(RolloutStatus::pause),
            [Some(Paused), None, None, None, None]
        );
        assert_eq!(
            reached(RolloutStatus::resume),
            [None, Some(Running), Some(Running), None, None]
        );
        assert_eq!(
            reached(RolloutStatus::cancel),
            [
                Some(Cancelled),
                Some(Cancelled),
                Some(Cancelled),
                None,
                None
            ]
        );
        assert_eq!(RolloutStatus::ALL[2], Aborted);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_its_rate(rate in 1_u32..=60_000, pauses in proptest::collection::vec(0_i64..5_000_000, 1..50)) {
            let plan = rollout(rate, 0, &[]);
            let (mut now, mut next, mut sent) = (0, at(0), 0_u64);
            for pause in pauses {
                now += pause;
                let (count, then) = plan.release(next, at(now), 1000);
                prop_assert!(then >= next);
                (next, sent) = (then, sent + u64::from(count));
            }
            let fair = u64::try_from(now).unwrap() * u64::from(rate) / 60_000_000 + 1;
            // An interval is cut to whole microseconds, which makes it at most a tenth of a percent shorter.
            prop_assert!(sent <= fair + fair / 500 + 1, "{sent} of {fair}");
        }
    }
}
