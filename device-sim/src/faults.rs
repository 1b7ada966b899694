//! What goes wrong between an acquirer and us: late, lost, repeated, overtaking and wrong callbacks.
//!
//! A plan depends on the seed and on the number of the payment alone, so that a run can be repeated.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often what goes wrong, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct Faults {
    /// Callbacks that are never sent, in percent of payments.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub lost: u8,
    /// Payments that are told of more than once.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub duplicated: u8,
    /// Payments whose first callback names another amount.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub wrong_amount: u8,
    /// Payments whose callback is held until after later ones.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub reordered: u8,
    /// Payments that are told of after up to this many seconds.
    #[arg(long, default_value_t = 0)]
    pub delay_s_max: u16,
}

/// One callback of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// After the payment.
    pub after: Duration,
    /// What is added to the amount; zero when it is the right one.
    pub amount_off_by: i64,
}

/// How long an overtaken callback is held.
const HELD: Duration = Duration::from_secs(3);

impl Faults {
    /// Whether nothing goes wrong.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is told of the payment with this number, in order of time. Empty: nothing is.
    pub fn plan(&self, seed: u64, number: u64) -> Vec<Notice> {
        let mut random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut happens = |percent: u8| random.random_range(0..100) < percent;
        let (lost, wrong) = (happens(self.lost), happens(self.wrong_amount));
        let (duplicated, reordered) = (happens(self.duplicated), happens(self.reordered));
        let mut after =
            Duration::from_millis(random.random_range(0..=1000 * u64::from(self.delay_s_max)));
        if reordered {
            after += HELD;
        }
        let mut notices = Vec::new();
        if lost {
            return notices;
        }
        if wrong {
            notices.push(Notice {
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
            notices.push(Notice {
                after,
                amount_off_by: 0,
            });
            after += Duration::from_millis(random.random_range(0..=200));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_goes_wrong_in_the_same_way() {
        let faults = Faults {
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
                .any(|notice| notice.amount_off_by > 0)
        );
        assert!(plans.iter().flatten().any(|notice| notice.after >= HELD));
        // Whoever is told anything is told the truth in the end.
        assert!(
            plans
                .iter()
                .all(|plan| plan.last().is_none_or(|last| last.amount_off_by == 0))
        );
    }

    #[test]
    fn without_faults_every_payment_is_told_of_once_and_at_once() {
        let once = [Notice {
            after: Duration::ZERO,
            amount_off_by: 0,
        }];
        assert!((0..100).all(|number| Faults::default().plan(1, number) == once));
    }
}
