//! CallbackFaults of an acquirer's callbacks: late, lost, duplicated, reordered, and with a wrong amount.
//!
//! The plan of a payment depends only on the seed and the payment's number, so that a run can be repeated.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The rates of callback faults, in percent of payments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct CallbackFaults {
    /// Payments whose callback is never sent, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub lost: u8,
    /// Payments whose callback is sent more than once, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub duplicated: u8,
    /// Payments whose first callback has a wrong amount, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub wrong_amount: u8,
    /// Payments whose callback is held back until later ones are sent, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub reordered: u8,
    /// The longest random delay of a callback, in seconds.
    #[arg(long, default_value_t = 0)]
    pub delay_s_max: u16,
}

/// One callback of a payment's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedCallback {
    /// The delay after the payment.
    pub after: Duration,
    /// What is added to the amount; zero in a correct callback.
    pub amount_off_by: i64,
}

/// How long a reordered callback is held back.
const REORDER_DELAY: Duration = Duration::from_secs(3);

impl CallbackFaults {
    /// The callbacks of the payment with this number, in order of time; empty when its callback is lost.
    pub fn plan(&self, seed: u64, number: u64) -> Vec<PlannedCallback> {
        let mut random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut happens = |percent: u8| random.random_range(0..100) < percent;
        let (lost, wrong) = (happens(self.lost), happens(self.wrong_amount));
        let (duplicated, reordered) = (happens(self.duplicated), happens(self.reordered));
        let mut after =
            Duration::from_millis(random.random_range(0..=1000 * u64::from(self.delay_s_max)));
        if reordered {
            after += REORDER_DELAY;
        }
        let mut callbacks = Vec::new();
        if lost {
            return callbacks;
        }
        if wrong {
            callbacks.push(PlannedCallback {
                after,
                amount_off_by: random.random_range(1..=1000),
            });
        }
        let copies = if duplicated {
            random.random_range(2..=4)
        } else {
            1
        };
        for _ in 0..copies {
            callbacks.push(PlannedCallback {
                after,
                amount_off_by: 0,
            });
            after += Duration::from_millis(random.random_range(0..=200));
        }
        callbacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = CallbackFaults {
            lost: 20,
            duplicated: 30,
            wrong_amount: 20,
            reordered: 30,
            delay_s_max: 2,
        };
        let run = |seed| {
            (0..200)
                .map(|number| faults.plan(seed, number))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let plans = run(7);
        assert!(plans.iter().any(Vec::is_empty), "some are lost");
        assert!(
            plans
                .iter()
                .any(|plan| plan.len() > 1 && plan[0].amount_off_by == 0)
        );
        assert!(
            plans
                .iter()
                .flatten()
                .any(|callback| callback.amount_off_by > 0)
        );
        assert!(
            plans
                .iter()
                .flatten()
                .any(|callback| callback.after >= REORDER_DELAY)
        );
        // The last callback of a payment is always correct.
        assert!(
            plans
                .iter()
                .all(|plan| plan.last().is_none_or(|last| last.amount_off_by == 0))
        );
    }

    #[test]
    fn without_faults_every_payment_has_one_callback_at_once() {
        let once = [PlannedCallback {
            after: Duration::ZERO,
            amount_off_by: 0,
        }];
        assert!((0..100).all(|number| CallbackFaults::default().plan(1, number) == once));
    }
}
