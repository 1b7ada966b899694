//! Payouts: instructions to the payout partner, and the meaning of its answers.
//!
//! A settlement is paid out by one payout at a time. The payout's id is the partner's idempotency key, so telling it
//! twice pays once; a payout whose answer never came is asked about, never replaced. Only what failed or came back
//! may be followed by another, and not before the partner was asked about the one before.

use chrono::{DateTime, TimeDelta, Utc};
use wire::rupiah::Rupiah;

use crate::ledger::{Posting, PostingError};
use crate::settlement::SettlementStatus;
use crate::text_enum::text_enum;

text_enum! {
    /// The state of one payout.
    pub enum PayoutStatus as "payout status" {
        /// In the outbox; the partner has not been instructed.
        Pending = "pending",
        /// The partner was instructed, or may have been.
        Processing = "processing",
        /// The partner has paid.
        Paid = "paid",
        /// The partner has not paid and will not.
        Failed = "failed",
        /// The merchant's bank sent the money back.
        Returned = "returned",
        /// Cancelled before the partner was instructed, because an earlier one turned out to be paid.
        Cancelled = "cancelled",
    }
}

impl PayoutStatus {
    /// What a settlement shows while its newest payout has this status.
    pub const fn settlement(self) -> SettlementStatus {
        match self {
            Self::Pending => SettlementStatus::Pending,
            Self::Processing => SettlementStatus::Processing,
            Self::Paid => SettlementStatus::Paid,
            Self::Failed | Self::Cancelled => SettlementStatus::Failed,
            Self::Returned => SettlementStatus::Returned,
        }
    }
}

text_enum! {
    /// The outcome of a payout, as the partner reports it.
    pub enum PayoutOutcome as "payout outcome" {
        /// The money is with the merchant's bank.
        Paid = "paid",
        /// It was not paid and will not be.
        Failed = "failed",
        /// It was paid and came back.
        Returned = "returned",
    }
}

impl PayoutOutcome {
    /// The status of a payout with this outcome.
    pub const fn status(self) -> PayoutStatus {
        match self {
            Self::Paid => PayoutStatus::Paid,
            Self::Failed => PayoutStatus::Failed,
            Self::Returned => PayoutStatus::Returned,
        }
    }
}

/// What an outcome does to a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The payout goes there.
    Becomes(PayoutOutcome),
    /// It has this status already, and the message agrees with what is known.
    Duplicate,
    /// It contradicts an earlier report of the partner: nothing changes, and a person must look.
    Contradiction,
    /// Its bank reference belongs to another payout: nothing changes, and a person must look.
    ReferenceOfAnother,
}

/// What is known of a payout when a report about it arrives.
#[derive(Debug, Clone, Copy)]
pub struct PayoutView<'a> {
    /// Its status.
    pub status: PayoutStatus,
    /// The bank's name for its transfer, if one was reported.
    pub bank_reference: Option<&'a str>,
    /// Whether the reference of this report was used for another payout.
    pub reference_is_anothers: bool,
}

/// What `outcome` means for a payout, with the bank reference of the report, if it has one.
///
/// A bank reference is the name of one transfer. Under the name of another payout's transfer nothing is done, because
/// either message may be about the other one. A later report
/// alone does not make a failed payout paid, because another may be on its way: the partner is queried before another is
/// sent.
pub fn decide(view: PayoutView<'_>, outcome: PayoutOutcome, reference: Option<&str>) -> Decision {
    if view.reference_is_anothers {
        return Decision::ReferenceOfAnother;
    }
    let same_reference = match (view.bank_reference, reference) {
        (Some(known), Some(said)) => known == said,
        _ => true,
    };
    match (view.status, outcome) {
        (PayoutStatus::Pending | PayoutStatus::Processing, outcome) => Decision::Becomes(outcome),
        (PayoutStatus::Paid, PayoutOutcome::Returned) => Decision::Becomes(PayoutOutcome::Returned),
        // A report from before it came back.
        (PayoutStatus::Paid | PayoutStatus::Returned, PayoutOutcome::Paid) if same_reference => {
            Decision::Duplicate
        }
        (PayoutStatus::Failed, PayoutOutcome::Failed)
        | (PayoutStatus::Returned, PayoutOutcome::Returned) => Decision::Duplicate,
        _ => Decision::Contradiction,
    }
}

/// A report is not more than this ahead of our clock.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(30);
/// No news of a payout is older than this. Banks return money weeks later, never years.
const AGE_MAX: TimeDelta = TimeDelta::days(366);

/// When something happened at the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankTime {
    /// The moment that counts; never after the arrival of the report.
    pub at: DateTime<Utc>,
    /// The partner's clock cannot be right.
    pub is_far_off: bool,
}

/// The business time of a message that says `occurred_at` and is accepted at `accepted_at`: the earlier of both, within
/// what can be.
pub fn bank_time(occurred_at: Option<DateTime<Utc>>, accepted_at: DateTime<Utc>) -> BankTime {
    let said = occurred_at.unwrap_or(accepted_at);
    let age = accepted_at.signed_duration_since(said);
    BankTime {
        at: if age > AGE_MAX {
            accepted_at - AGE_MAX
        } else {
            said.min(accepted_at)
        },
        is_far_off: age > AGE_MAX || age < -AHEAD_MAX,
    }
}

/// What is booked when a payout with the status `from` gets `outcome`, as [`decide`] allows.
///
/// # Errors
/// An amount that is not positive.
pub fn postings(
    from: PayoutStatus,
    outcome: PayoutOutcome,
    amount: Rupiah,
) -> Result<Vec<Posting>, PostingError> {
    let mut postings = Vec::new();
    if from == PayoutStatus::Pending {
        // The partner knew of it by another way than ours.
        postings.push(Posting::payout_sent(amount)?);
    }
    match (outcome, from) {
        (PayoutOutcome::Paid, _) => postings.push(Posting::payout_paid(amount)?),
        (PayoutOutcome::Failed, _) => postings.push(Posting::payout_failed(amount)?),
        (PayoutOutcome::Returned, PayoutStatus::Paid) => {
            postings.push(Posting::payout_returned(amount)?);
        }
        // That it was paid was never reported.
        (PayoutOutcome::Returned, _) => {
            postings.push(Posting::payout_paid(amount)?);
            postings.push(Posting::payout_returned(amount)?);
        }
    }
    Ok(postings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PayoutOutcome::{Failed, Paid, Returned};
    use super::*;
    use crate::ledger::{Account, Side};

    #[test]
    fn every_word_about_every_payout_is_decided() {
        use Decision::{Becomes, Contradiction, Duplicate};
        let table = [
            (
                PayoutStatus::Pending,
                [Becomes(Paid), Becomes(Failed), Becomes(Returned)],
            ),
            (
                PayoutStatus::Processing,
                [Becomes(Paid), Becomes(Failed), Becomes(Returned)],
            ),
            (
                PayoutStatus::Paid,
                [Duplicate, Contradiction, Becomes(Returned)],
            ),
            (
                PayoutStatus::Failed,
                [Contradiction, Duplicate, Contradiction],
            ),
            (
                PayoutStatus::Returned,
                [Duplicate, Contradiction, Duplicate],
            ),
            (
                PayoutStatus::Cancelled,
                [Contradiction, Contradiction, Contradiction],
            ),
        ];
        assert_eq!(table.len(), PayoutStatus::ALL.len());
        for (status, expected) in table {
            let view = PayoutView {
                status,
                bank_reference: Some("b-1"),
                reference_is_anothers: false,
            };
            let outcomes = [Paid, Failed, Returned];
            let decisions = outcomes.map(|outcome| decide(view, outcome, Some("b-1")));
            assert_eq!(decisions, expected, "{status}");
            // Under the name of another payout's transfer nothing is done.
            let anothers = PayoutView {
                reference_is_anothers: true,
                ..view
            };
            let decisions = outcomes.map(|outcome| decide(anothers, outcome, Some("b-2")));
            assert_eq!(decisions, [Decision::ReferenceOfAnother; 3], "{status}");
            // Paid twice under two references is money twice.
            if matches!(status, PayoutStatus::Paid | PayoutStatus::Returned) {
                assert_eq!(decide(view, Paid, Some("b-2")), Contradiction, "{status}");
            }
        }
    }

    #[test]
    fn the_earlier_time_counts_and_a_clock_that_cannot_be_right_is_noticed() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let accepted = at("2026-05-24T02:00:00Z");
        for (said, counts, is_far_off) in [
            ("2026-05-24T01:59:00Z", "2026-05-24T01:59:00Z", false),
            ("2026-05-24T02:29:00Z", "2026-05-24T02:00:00Z", false),
            ("2026-05-24T09:00:00Z", "2026-05-24T02:00:00Z", true),
            ("9999-12-31T23:59:59Z", "2026-05-24T02:00:00Z", true),
            ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", false),
            ("0001-01-01T00:00:00Z", "2025-05-23T02:00:00Z", true),
        ] {
            let at = BankTime {
                at: at(counts),
                is_far_off,
            };
            let said = said.parse().ok();
            assert_eq!(bank_time(said, accepted), at, "{said:?}");
        }
        assert_eq!(bank_time(None, accepted).at, accepted);
    }

    /// What an account has of these postings, credits minus debits.
    fn owes(postings: &[Posting], account: Account) -> i64 {
        let lines = postings.iter().flat_map(Posting::lines);
        lines
            .filter(|line| line.account == account)
            .map(|line| match line.side {
                Side::Credit => line.amount.to_i64(),
                Side::Debit => -line.amount.to_i64(),
            })
            .sum()
    }

    proptest! {
        /// Whatever the partner says, in whatever order: the money is owed, on its way, or with the merchant, and it is
        /// in one of these places, whole.
        #[test]
        fn the_money_of_a_payout_is_always_in_one_place(
            amount in 1..=i64::MAX / 16,
            told: bool,
            said in proptest::collection::vec((proptest::sample::select(PayoutOutcome::ALL), 0..3_u8), 0..8),
        ) {
            let amount = Rupiah::from_i64(amount);
            let mut booked = vec![Posting::settlement(amount).unwrap()];
            let mut status = PayoutStatus::Pending;
            let mut known: Option<String> = None;
            if told {
                booked.push(Posting::payout_sent(amount).unwrap());
                status = PayoutStatus::Processing;
            }
            for (outcome, reference) in said {
                let reference = format!("b-{reference}");
                let view = PayoutView { status, bank_reference: known.as_deref(), reference_is_anothers: false };
                let decision = decide(view, outcome, Some(&reference));
                if decision == Decision::Becomes(outcome) {
                    booked.extend(postings(status, outcome, amount).unwrap());
                    status = outcome.status();
                    known = Some(reference);
                }
                let owed = owes(&booked, Account::MerchantPayable);
                let in_transit = owes(&booked, Account::PayoutInTransit);
                let with_merchant = owes(&booked, Account::AcquirerHeld);
                let whole = amount.to_i64();
                let place = match status {
                    PayoutStatus::Pending | PayoutStatus::Failed | PayoutStatus::Returned | PayoutStatus::Cancelled => (whole, 0, 0),
                    PayoutStatus::Processing => (0, whole, 0),
                    PayoutStatus::Paid => (0, 0, whole),
                };
                // The claim itself moves from one part of what is owed to another, which together are nothing.
                prop_assert_eq!((owed + whole, in_transit, with_merchant), place);
            }
        }
    }
}
