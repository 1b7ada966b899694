//! Payouts: what was told to whoever holds the money, and what its answers mean.
//!
//! A settlement is paid out by one payout at a time. The payout's id is the partner's idempotency key, so telling it
//! twice pays once; a payout whose answer never came is asked about, never replaced. Only what failed or came back
//! may be followed by another, and not before the partner was asked about the one before.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::ids::{PayoutId, SettlementId};
use wire::rupiah::Rupiah;

use crate::callback::{CallbackError, Fields, amount, bounded, read_object};
use crate::ledger::{Posting, PostingError};
use crate::settlement::SettlementStatus;
use crate::text_enum::text_enum;

text_enum! {
    /// Where one payout stands.
    pub enum PayoutStatus as "payout status" {
        /// Waits to be told to the partner, in the outbox.
        Pending = "pending",
        /// The partner was told, or may have been.
        Processing = "processing",
        /// The partner has paid.
        Paid = "paid",
        /// The partner has not paid and will not.
        Failed = "failed",
        /// The merchant's bank sent the money back.
        Returned = "returned",
        /// Taken back before anybody was told, because an earlier one turned out to be paid.
        Cancelled = "cancelled",
    }
}

impl PayoutStatus {
    /// What a settlement shows while its newest payout stands here.
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
    /// What a partner says of a payout.
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
    /// The status that says the same.
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
    /// It is there already, and nothing that was said differs.
    Duplicate,
    /// It contradicts what the partner said before: nothing changes, and a person must look.
    Contradiction,
    /// Its bank reference belongs to another payout: nothing changes, and a person must look.
    Held,
}

/// What is known of a payout when the partner speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct PayoutView<'a> {
    /// Where it stands.
    pub status: PayoutStatus,
    /// The bank's name for its transfer, if one was said.
    pub bank_reference: Option<&'a str>,
    /// Whether the reference that the partner now says was used for another payout.
    pub reference_is_anothers: bool,
}

/// What `outcome` means for a payout, with the bank reference that the partner says, if it says one.
///
/// A bank reference is the name of one transfer. Under the name of another payout's transfer nothing is done, because
/// either message may be about the other one. A payout that failed is not made paid by a later word alone: another may be on its way. It is found out by asking
/// the partner, which happens before another is sent.
pub fn decide(view: PayoutView<'_>, outcome: PayoutOutcome, reference: Option<&str>) -> Decision {
    if view.reference_is_anothers {
        return Decision::Held;
    }
    let same_reference = match (view.bank_reference, reference) {
        (Some(known), Some(said)) => known == said,
        _ => true,
    };
    match (view.status, outcome) {
        (PayoutStatus::Pending | PayoutStatus::Processing, outcome) => Decision::Becomes(outcome),
        (PayoutStatus::Paid, PayoutOutcome::Returned) => Decision::Becomes(PayoutOutcome::Returned),
        // A word of the time before it came back.
        (PayoutStatus::Paid | PayoutStatus::Returned, PayoutOutcome::Paid) if same_reference => {
            Decision::Duplicate
        }
        (PayoutStatus::Failed, PayoutOutcome::Failed)
        | (PayoutStatus::Returned, PayoutOutcome::Returned) => Decision::Duplicate,
        _ => Decision::Contradiction,
    }
}

/// A payout is not told of as being more than this ahead of our clock.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(30);
/// No news of a payout is older than this. Banks return money weeks later, never years.
const AGE_MAX: TimeDelta = TimeDelta::days(366);

/// When something happened at the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankTime {
    /// The moment that counts; never after the moment at which we were told.
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

/// What is booked when a payout that stands at `from` becomes `outcome`, as [`decide`] allows.
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
        // That it was paid was never said.
        (PayoutOutcome::Returned, _) => {
            postings.push(Posting::payout_paid(amount)?);
            postings.push(Posting::payout_returned(amount)?);
        }
    }
    Ok(postings)
}

/// A payout callback whose every field is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutCallback {
    /// The partner's name for this message.
    pub event_id: String,
    /// Which settlement is paid.
    pub settlement_id: SettlementId,
    /// Which payout of it; the newest when the partner does not say.
    pub payout_id: Option<PayoutId>,
    /// What became of it.
    pub outcome: PayoutOutcome,
    /// How much was paid, or was to be.
    pub amount: Rupiah,
    /// The bank's name for the transfer; always there when it was paid.
    pub bank_reference: Option<String>,
    /// When it happened at the bank, by its clock.
    pub occurred_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    settlement_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payout_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    amount: Option<&'a RawValue>,
    #[serde(borrow, default)]
    bank_reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    occurred_at: Option<&'a RawValue>,
}

impl PayoutCallback {
    /// Reads a body whose signature was checked.
    ///
    /// # Errors
    /// As [`crate::callback::Callback::parse`].
    pub fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        let body: Body<'_> = read_object(body)?;
        let mut fields = Fields::default();
        let event_id = fields.required("event_id", body.event_id, bounded);
        let settlement_id = fields.required("settlement_id", body.settlement_id, |text| {
            text.parse::<SettlementId>()
                .map_err(|error| error.to_string())
        });
        let payout_id = fields.optional("payout_id", body.payout_id, |text| {
            text.parse::<PayoutId>().map_err(|error| error.to_string())
        });
        let outcome = fields.required("status", body.status, |text| {
            text.parse::<PayoutOutcome>()
                .map_err(|error| error.to_string())
        });
        let bank_reference = fields.optional("bank_reference", body.bank_reference, bounded);
        let occurred_at = fields.required("occurred_at", body.occurred_at, |text| {
            DateTime::parse_from_rfc3339(text)
                .map(|time| time.with_timezone(&Utc))
                .map_err(|_| "expected an RFC 3339 time".to_owned())
        });
        let amount = match body.amount.filter(|raw| raw.get() != "null").map(amount) {
            None => {
                fields.refuse("amount", "is required");
                None
            }
            Some(amount) => Some(amount),
        };
        match (
            event_id,
            settlement_id,
            outcome,
            occurred_at,
            amount,
            fields.is_empty(),
        ) {
            (
                Some(event_id),
                Some(settlement_id),
                Some(outcome),
                Some(occurred_at),
                Some(amount),
                true,
            ) => Ok(Self {
                event_id,
                settlement_id,
                payout_id,
                outcome,
                amount: amount.map_err(CallbackError::Amount)?,
                bank_reference,
                occurred_at: Some(occurred_at),
            }),
            (.., amount, _) => {
                if let Some(Err(message)) = amount {
                    fields.refuse("amount", message);
                }
                Err(CallbackError::Invalid(fields.into_errors()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
            let said = outcomes.map(|outcome| decide(view, outcome, Some("b-1")));
            assert_eq!(said, expected, "{status}");
            // Under the name of another payout's transfer nothing is done.
            let anothers = PayoutView {
                reference_is_anothers: true,
                ..view
            };
            let said = outcomes.map(|outcome| decide(anothers, outcome, Some("b-2")));
            assert_eq!(said, [Decision::Held; 3], "{status}");
            // Paid twice under two references is money twice.
            if matches!(status, PayoutStatus::Paid | PayoutStatus::Returned) {
                assert_eq!(decide(view, Paid, Some("b-2")), Contradiction, "{status}");
            }
        }
    }

    fn body() -> Value {
        json!({
            "event_id": "e-1",
            "settlement_id": "set_01890a5d3f2c7b3e8f00112233445566",
            "status": "paid",
            "amount": 148_950,
            "bank_reference": "BCA-77",
            "occurred_at": "2026-05-24T09:00:00+07:00",
            "something_new": {},
        })
    }

    fn complaints(body: &Value) -> Vec<String> {
        match PayoutCallback::parse(body.to_string().as_bytes()) {
            Err(CallbackError::Invalid(fields)) => {
                fields.into_iter().map(|wrong| wrong.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_in_order_is_read() {
        let read = PayoutCallback::parse(body().to_string().as_bytes()).unwrap();
        assert_eq!(read.amount, Rupiah::from_i64(148_950));
        assert_eq!((read.outcome, read.payout_id), (Paid, None));
        assert_eq!(
            read.occurred_at.unwrap().to_rfc3339(),
            "2026-05-24T02:00:00+00:00"
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        for field in [
            "event_id",
            "settlement_id",
            "status",
            "amount",
            "occurred_at",
        ] {
            let mut without = body();
            without.as_object_mut().unwrap().remove(field);
            assert_eq!(complaints(&without), [field]);
        }
        let mut wrong = body();
        wrong["status"] = json!("success");
        wrong["payout_id"] = json!("set_1");
        wrong["amount"] = json!(0);
        assert_eq!(complaints(&wrong), ["payout_id", "status", "amount"]);
        let mut failed = body();
        failed["status"] = json!("failed");
        failed["bank_reference"] = Value::Null;
        assert!(PayoutCallback::parse(failed.to_string().as_bytes()).is_ok());
        failed["amount"] = json!(0.5);
        assert!(matches!(
            PayoutCallback::parse(failed.to_string().as_bytes()),
            Err(CallbackError::Amount(_))
        ));
        assert_eq!(
            PayoutCallback::parse(b"nonsense"),
            Err(CallbackError::Malformed)
        );
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

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = PayoutCallback::parse(&bytes);
        }
    }
}
