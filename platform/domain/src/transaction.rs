//! The life of a payment, and what a verified callback means for it.
//!
//! `initiated → awaiting_payment → paid | failed | expired`, and `paid → reversed`. A success also makes a failed
//! or expired payment paid (`late`): the customer's money was taken, whatever was said before. Nothing else leads
//! out of `paid`, and nothing out of `reversed`.
//!
//! [`decide`] is the whole judgement of a callback: the service only carries it out, in one database transaction
//! with the row locked.

use wire::rupiah::Rupiah;

use crate::callback::{Callback, CallbackStatus};
use crate::qris::{AmountDue, Nmid};
use crate::text_enum::text_enum;

text_enum! {
    /// Where a payment stands.
    pub enum TransactionStatus as "transaction status" {
        /// Asked for; the partner has not given a code yet.
        Initiated = "initiated",
        /// The customer can pay.
        AwaitingPayment = "awaiting_payment",
        /// The customer's money was taken.
        Paid = "paid",
        /// The payment was refused, or no code could be had.
        Failed = "failed",
        /// Nobody paid in time.
        Expired = "expired",
        /// Paid, and taken back.
        Reversed = "reversed",
    }
}

text_enum! {
    /// What kind of code the customer scanned.
    pub enum QrType as "QR type" {
        /// On a sticker.
        Static = "static",
        /// Made for this payment.
        Dynamic = "dynamic",
    }
}

/// A step that the life of a payment does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transaction that is {current} cannot become {wanted}")]
pub struct InvalidTransition {
    /// Where it stands.
    pub current: TransactionStatus,
    /// Where it was to go.
    pub wanted: TransactionStatus,
}

/// A status reached by being paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaidTransition {
    /// Always [`TransactionStatus::Paid`].
    pub status: TransactionStatus,
    /// It had been given up before.
    pub late: bool,
}

impl TransactionStatus {
    /// The partner gave a code.
    ///
    /// # Errors
    /// Unless it was initiated.
    pub fn await_payment(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Initiated => Ok(Self::AwaitingPayment),
            _ => Err(self.refuse(Self::AwaitingPayment)),
        }
    }

    /// A verified success came. The partner's message may overtake its answer to our request, so an initiated
    /// payment can be paid too.
    ///
    /// # Errors
    /// If it is paid or reversed.
    pub fn pay(self) -> Result<PaidTransition, InvalidTransition> {
        match self {
            Self::Initiated | Self::AwaitingPayment => Ok(PaidTransition {
                status: Self::Paid,
                late: false,
            }),
            Self::Failed | Self::Expired => Ok(PaidTransition {
                status: Self::Paid,
                late: true,
            }),
            Self::Paid | Self::Reversed => Err(self.refuse(Self::Paid)),
        }
    }

    /// The payment was refused, or no code could be had.
    ///
    /// # Errors
    /// If it has ended otherwise, or already so.
    pub fn fail(self) -> Result<Self, InvalidTransition> {
        self.give_up(Self::Failed)
    }

    /// Nobody paid in time.
    ///
    /// # Errors
    /// If it has ended otherwise, or already so.
    pub fn expire(self) -> Result<Self, InvalidTransition> {
        self.give_up(Self::Expired)
    }

    /// The money was taken back.
    ///
    /// # Errors
    /// Unless it was paid.
    pub fn reverse(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Paid => Ok(Self::Reversed),
            _ => Err(self.refuse(Self::Reversed)),
        }
    }

    /// Whether the customer can still pay in time.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Initiated | Self::AwaitingPayment)
    }

    fn give_up(self, wanted: Self) -> Result<Self, InvalidTransition> {
        if self.is_open() {
            Ok(wanted)
        } else {
            Err(self.refuse(wanted))
        }
    }

    const fn refuse(self, wanted: Self) -> InvalidTransition {
        InvalidTransition {
            current: self,
            wanted,
        }
    }
}

/// The part of a transaction that a callback is judged by, read with its row locked. The row was looked up among
/// the transactions of the callback's own partner: a partner may not speak of another's.
#[derive(Debug, Clone, Copy)]
pub struct TransactionView<'a> {
    /// Where it stands.
    pub status: TransactionStatus,
    /// What was asked of the customer without a tip; once it is paid, what was paid.
    pub amount: Rupiah,
    /// What a success may say was paid.
    pub due: AmountDue,
    /// The merchant's NMID, when it has one.
    pub nmid: Option<&'a Nmid>,
    /// The reference of the money that made it paid.
    pub partner_reference: Option<&'a str>,
    /// What is known of the callback's own reference beside this transaction.
    pub reference: ReferenceView,
}

/// What is kept of a partner's reference that no transaction carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReferenceView {
    /// Its money is kept as unmatched, or was until it was taken back.
    pub is_unmatched: bool,
    /// Its reversal came before its success and was held: a success after it is held as well.
    pub reversal_is_held: bool,
}

/// Which part of a signed message contradicts the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Another amount.
    Amount,
    /// Another merchant.
    Merchant,
}

impl Mismatch {
    /// The word for it in an incident.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Merchant => "merchant",
        }
    }
}

/// What a verified callback means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The payment is paid now: ledger, outbox, 200.
    Paid {
        /// It had been given up before.
        late: bool,
    },
    /// The payment failed now. 200.
    Failed,
    /// The payment expired now. 200.
    Expired,
    /// The payment is taken back now: ledger, 200.
    Reversed,
    /// Told before; nothing changes. 200.
    Duplicate,
    /// Money with another reference on a transaction that is paid: kept as unmatched. 200.
    OtherReference,
    /// Signed, and contradicting what we know: an incident, nothing changes. 409.
    Mismatch(Mismatch),
    /// In an order that cannot be: kept, an incident, to be asked at the partner; nothing is announced. 200.
    Held,
    /// Money with another reference on a transaction whose own money was taken back: kept as unmatched, and an incident.
    /// 200.
    HeldMoney,
    /// Too late to matter (a failure or an expiry after another end); nothing changes. 200.
    Ignored {
        /// It contradicts a payment, so an incident is due: paid never becomes failed or expired.
        contradictory: bool,
    },
}

/// Judges one verified callback.
pub fn decide(current: &TransactionView<'_>, callback: &Callback) -> Decision {
    if let Some(mismatch) = mismatch(current, callback) {
        return Decision::Mismatch(mismatch);
    }
    let is_own = current.partner_reference == Some(callback.partner_reference.as_str());
    match callback.status {
        CallbackStatus::Success => success(current, is_own),
        CallbackStatus::Failed => {
            given_up(current.status, TransactionStatus::Failed, Decision::Failed)
        }
        CallbackStatus::Expired => given_up(
            current.status,
            TransactionStatus::Expired,
            Decision::Expired,
        ),
        CallbackStatus::Reversed => reversed(current, is_own),
    }
}

/// Judges a verified callback about a printed code, whose reference no transaction carries. [`Decision::Paid`]: it makes a
/// transaction of its own, if it can be attributed.
pub fn decide_printed(reference: ReferenceView, status: CallbackStatus) -> Decision {
    match status {
        CallbackStatus::Success if reference.is_unmatched => Decision::Duplicate,
        CallbackStatus::Success if reference.reversal_is_held => Decision::Held,
        CallbackStatus::Success => Decision::Paid { late: false },
        CallbackStatus::Failed | CallbackStatus::Expired => Decision::Ignored {
            contradictory: reference.is_unmatched,
        },
        CallbackStatus::Reversed => unpaid_reversed(reference),
    }
}

fn mismatch(current: &TransactionView<'_>, callback: &Callback) -> Option<Mismatch> {
    let named = callback.target.nmid();
    if named.is_some() && named.as_ref() != current.nmid {
        return Some(Mismatch::Merchant);
    }
    let Some(amount) = callback.amount.rupiah() else {
        return Some(Mismatch::Amount);
    };
    // Who did not pay may be told of without the tip.
    let as_asked = callback.status != CallbackStatus::Success && amount == current.amount;
    (!current.due.accepts(amount) && !as_asked).then_some(Mismatch::Amount)
}

fn success(current: &TransactionView<'_>, is_own: bool) -> Decision {
    if is_own || current.reference.is_unmatched {
        return Decision::Duplicate;
    }
    if current.reference.reversal_is_held {
        return Decision::Held;
    }
    match current.status.pay() {
        Ok(PaidTransition { late, .. }) => Decision::Paid { late },
        Err(_) if current.status == TransactionStatus::Reversed => Decision::HeldMoney,
        Err(_) => Decision::OtherReference,
    }
}

fn given_up(current: TransactionStatus, wanted: TransactionStatus, decision: Decision) -> Decision {
    match current {
        _ if current.is_open() => decision,
        _ if current == wanted => Decision::Duplicate,
        TransactionStatus::Paid | TransactionStatus::Reversed => Decision::Ignored {
            contradictory: true,
        },
        _ => Decision::Ignored {
            contradictory: false,
        },
    }
}

/// A reversal takes back the money of its own reference and no other: one that names money that nobody has seen must not
/// take back the payment that made the transaction paid.
fn reversed(current: &TransactionView<'_>, is_own: bool) -> Decision {
    match current.status {
        TransactionStatus::Paid if is_own => Decision::Reversed,
        TransactionStatus::Reversed if is_own => Decision::Duplicate,
        _ => unpaid_reversed(current.reference),
    }
}

/// The reversal of money that made no transaction paid.
fn unpaid_reversed(reference: ReferenceView) -> Decision {
    if reference.is_unmatched {
        Decision::OtherReference
    } else if reference.reversal_is_held {
        Decision::Duplicate
    } else {
        Decision::Held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::callback::{CallbackTarget, PaidAmount, PrintedCode};

    use super::TransactionStatus::{AwaitingPayment, Expired, Failed, Initiated, Paid, Reversed};
    use super::*;

    const AMOUNT: i64 = 50_000;

    fn nmid(text: &str) -> Nmid {
        text.parse().unwrap()
    }

    fn callback(status: CallbackStatus, reference: &str) -> Callback {
        Callback {
            event_id: "e".to_owned(),
            target: CallbackTarget::Transaction {
                id: "tx_01890a5d3f2c7b3e8f00112233445566".parse().unwrap(),
                nmid: None,
            },
            partner_reference: reference.to_owned(),
            amount: Rupiah::from_i64(AMOUNT).into(),
            status,
            paid_at: None,
            rrn: None,
            issuer: None,
            adjustments: Vec::new(),
        }
    }

    /// A transaction as it would stand: paid and reversed ones have the reference `first`.
    fn view(status: TransactionStatus) -> TransactionView<'static> {
        TransactionView {
            status,
            amount: Rupiah::from_i64(AMOUNT),
            due: AmountDue::exactly(Rupiah::from_i64(AMOUNT)),
            nmid: None,
            partner_reference: matches!(status, Paid | Reversed).then_some("first"),
            reference: ReferenceView::default(),
        }
    }

    #[test]
    fn every_step_of_a_life_is_allowed_or_refused() {
        let reached = |step: fn(TransactionStatus) -> Option<TransactionStatus>| -> Vec<Option<TransactionStatus>> {
            TransactionStatus::ALL.iter().map(|status| step(*status)).collect()
        };
        // In order: initiated, awaiting payment, paid, failed, expired, reversed.
        assert_eq!(
            reached(|s| s.await_payment().ok()),
            [Some(AwaitingPayment), None, None, None, None, None]
        );
        assert_eq!(
            reached(|s| s.pay().ok().map(|paid| paid.status)),
            [Some(Paid), Some(Paid), None, Some(Paid), Some(Paid), None]
        );
        assert_eq!(
            reached(|s| s.fail().ok()),
            [Some(Failed), Some(Failed), None, None, None, None]
        );
        assert_eq!(
            reached(|s| s.expire().ok()),
            [Some(Expired), Some(Expired), None, None, None, None]
        );
        assert_eq!(
            reached(|s| s.reverse().ok()),
            [None, None, Some(Reversed), None, None, None]
        );
        assert_eq!(
            Paid.expire(),
            Err(InvalidTransition {
                current: Paid,
                wanted: Expired
            })
        );
    }

    #[test]
    fn every_pair_of_status_and_callback_has_its_answer() {
        use CallbackStatus as C;
        let contradiction = Decision::Ignored {
            contradictory: true,
        };
        let belated = Decision::Ignored {
            contradictory: false,
        };
        let (paid, late) = (
            Decision::Paid { late: false },
            Decision::Paid { late: true },
        );
        for (status, success, same_success, failed, expired, reversed) in [
            (
                Initiated,
                paid,
                paid,
                Decision::Failed,
                Decision::Expired,
                Decision::Held,
            ),
            (
                AwaitingPayment,
                paid,
                paid,
                Decision::Failed,
                Decision::Expired,
                Decision::Held,
            ),
            (
                Paid,
                Decision::OtherReference,
                Decision::Duplicate,
                contradiction,
                contradiction,
                Decision::Reversed,
            ),
            (
                Failed,
                late,
                late,
                Decision::Duplicate,
                belated,
                Decision::Held,
            ),
            (
                Expired,
                late,
                late,
                belated,
                Decision::Duplicate,
                Decision::Held,
            ),
            (
                Reversed,
                Decision::HeldMoney,
                Decision::Duplicate,
                contradiction,
                contradiction,
                Decision::Duplicate,
            ),
        ] {
            let view = view(status);
            assert_eq!(
                decide(&view, &callback(C::Success, "other")),
                success,
                "{status} success"
            );
            assert_eq!(
                decide(&view, &callback(C::Success, "first")),
                same_success,
                "{status} same success"
            );
            assert_eq!(
                decide(&view, &callback(C::Failed, "first")),
                failed,
                "{status} failed"
            );
            assert_eq!(
                decide(&view, &callback(C::Expired, "first")),
                expired,
                "{status} expired"
            );
            assert_eq!(
                decide(&view, &callback(C::Reversed, "first")),
                reversed,
                "{status} reversed"
            );
            // A reference that nobody has seen takes nothing back.
            assert_eq!(
                decide(&view, &callback(C::Reversed, "other")),
                Decision::Held,
                "{status} other reversed"
            );
        }
    }

    #[test]
    fn every_message_about_a_printed_code_has_its_answer() {
        use CallbackStatus as C;
        let unseen = ReferenceView::default();
        let kept = ReferenceView {
            is_unmatched: true,
            reversal_is_held: false,
        };
        let held = ReferenceView {
            is_unmatched: false,
            reversal_is_held: true,
        };
        let ignored = |contradictory| Decision::Ignored { contradictory };
        for (view, success, given_up, reversed) in [
            (
                unseen,
                Decision::Paid { late: false },
                ignored(false),
                Decision::Held,
            ),
            (
                kept,
                Decision::Duplicate,
                ignored(true),
                Decision::OtherReference,
            ),
            (held, Decision::Held, ignored(false), Decision::Duplicate),
        ] {
            assert_eq!(decide_printed(view, C::Success), success, "{view:?}");
            assert_eq!(decide_printed(view, C::Failed), given_up, "{view:?}");
            assert_eq!(decide_printed(view, C::Expired), given_up, "{view:?}");
            assert_eq!(decide_printed(view, C::Reversed), reversed, "{view:?}");
        }
    }

    #[test]
    fn another_amount_or_merchant_changes_nothing_in_any_status() {
        let (ours, theirs) = (nmid("ID9900000000001"), nmid("ID9900000000002"));
        for status in TransactionStatus::ALL {
            for kind in CallbackStatus::ALL {
                let view = TransactionView {
                    nmid: Some(&ours),
                    ..view(*status)
                };
                let mut message = callback(*kind, "first");
                for amount in [
                    Rupiah::from_i64(AMOUNT + 1).into(),
                    PaidAmount::OutOfRange("9".repeat(20)),
                ] {
                    message.amount = amount;
                    assert_eq!(
                        decide(&view, &message),
                        Decision::Mismatch(Mismatch::Amount)
                    );
                }
                let mut message = callback(*kind, "first");
                let CallbackTarget::Transaction { id, .. } = message.target else {
                    panic!()
                };
                message.target = CallbackTarget::Transaction {
                    id,
                    nmid: Some(theirs.clone()),
                };
                assert_eq!(
                    decide(&view, &message),
                    Decision::Mismatch(Mismatch::Merchant)
                );
                message.target = CallbackTarget::Transaction {
                    id,
                    nmid: Some(ours.clone()),
                };
                assert!(!matches!(decide(&view, &message), Decision::Mismatch(_)));
                message.target = CallbackTarget::Static(PrintedCode {
                    nmid: Some(theirs.to_string()),
                    ..PrintedCode::default()
                });
                assert_eq!(
                    decide(&view, &message),
                    Decision::Mismatch(Mismatch::Merchant)
                );
            }
        }
    }

    #[test]
    fn what_is_due_with_a_tip_is_what_may_be_paid() {
        let due = |least: i64, most: i64| TransactionView {
            due: AmountDue {
                least: Rupiah::from_i64(least),
                most: Rupiah::from_i64(most),
            },
            ..view(AwaitingPayment)
        };
        let judged = |view: &TransactionView<'_>, status, amount: i64| {
            let mut message = callback(status, "first");
            message.amount = Rupiah::from_i64(amount).into();
            decide(view, &message)
        };
        let paid = Decision::Paid { late: false };
        let mismatch = Decision::Mismatch(Mismatch::Amount);
        for (view, right, wrong) in [
            (
                due(AMOUNT + 500, AMOUNT + 500),
                &[500][..],
                &[-1, 0, 499, 501][..],
            ),
            (due(AMOUNT, 10_000_000), &[0, 1, 500], &[-1, 9_950_001]),
        ] {
            for tip in right {
                assert_eq!(judged(&view, CallbackStatus::Success, AMOUNT + tip), paid);
            }
            for tip in wrong {
                assert_eq!(
                    judged(&view, CallbackStatus::Success, AMOUNT + tip),
                    mismatch
                );
            }
            // A failure may say what was asked, or what was due.
            for amount in [AMOUNT, AMOUNT + 500] {
                let judged = judged(&view, CallbackStatus::Failed, amount);
                assert_eq!(judged, Decision::Failed);
            }
            assert_eq!(judged(&view, CallbackStatus::Failed, AMOUNT - 1), mismatch);
        }
    }

    #[test]
    fn the_reversal_of_unmatched_money_leaves_the_payment() {
        let view = TransactionView {
            reference: ReferenceView {
                is_unmatched: true,
                reversal_is_held: false,
            },
            ..view(Paid)
        };
        assert_eq!(
            decide(&view, &callback(CallbackStatus::Reversed, "second")),
            Decision::OtherReference
        );
        assert_eq!(
            decide(&view, &callback(CallbackStatus::Success, "second")),
            Decision::Duplicate
        );
    }

    #[test]
    fn a_success_after_its_own_reversal_is_held() {
        for status in TransactionStatus::ALL {
            let view = TransactionView {
                reference: ReferenceView {
                    is_unmatched: false,
                    reversal_is_held: true,
                },
                ..view(*status)
            };
            assert_eq!(
                decide(&view, &callback(CallbackStatus::Success, "second")),
                Decision::Held,
                "{status}"
            );
            assert_eq!(
                decide(&view, &callback(CallbackStatus::Reversed, "second")),
                Decision::Duplicate,
                "{status}"
            );
        }
    }

    /// Carries decisions out as the service does, in memory.
    #[derive(Default)]
    struct Ledgerless {
        status: Option<TransactionStatus>,
        reference: Option<String>,
        unmatched: Vec<String>,
        held: Vec<String>,
        paid: u32,
    }

    impl Ledgerless {
        fn hear(&mut self, callback: &Callback) -> Decision {
            let status = self.status.unwrap_or(AwaitingPayment);
            let decision = decide(
                &TransactionView {
                    status,
                    amount: Rupiah::from_i64(AMOUNT),
                    due: AmountDue::exactly(Rupiah::from_i64(AMOUNT)),
                    nmid: None,
                    partner_reference: self.reference.as_deref(),
                    reference: ReferenceView {
                        is_unmatched: self.unmatched.contains(&callback.partner_reference),
                        reversal_is_held: self.held.contains(&callback.partner_reference),
                    },
                },
                callback,
            );
            let next = match decision {
                Decision::Paid { .. } => {
                    self.paid += 1;
                    self.reference = Some(callback.partner_reference.clone());
                    status.pay().map(|paid| paid.status)
                }
                Decision::Failed => status.fail(),
                Decision::Expired => status.expire(),
                Decision::Reversed => status.reverse(),
                Decision::OtherReference | Decision::HeldMoney => {
                    self.unmatched.push(callback.partner_reference.clone());
                    Ok(status)
                }
                Decision::Held => {
                    if callback.status == CallbackStatus::Reversed {
                        self.held.push(callback.partner_reference.clone());
                    }
                    Ok(status)
                }
                Decision::Duplicate | Decision::Mismatch(_) | Decision::Ignored { .. } => {
                    Ok(status)
                }
            };
            self.status = Some(next.expect("a decision is a step that the status has"));
            decision
        }
    }

    proptest! {
        #[test]
        fn in_any_order_a_payment_is_paid_at_most_once_and_stays_so(
            messages in proptest::collection::vec(
                (
                    proptest::sample::select(CallbackStatus::ALL),
                    proptest::sample::select(&["first", "second", "third"][..]),
                    proptest::bool::weighted(0.9),
                ),
                0..24,
            ),
        ) {
            let mut transaction = Ledgerless::default();
            let mut heard_success = false;
            for (status, reference, right_amount) in messages {
                let mut message = callback(status, reference);
                if !right_amount {
                    message.amount = Rupiah::from_i64(1).into();
                }
                let before = transaction.status;
                let decision = transaction.hear(&message);
                heard_success |= status == CallbackStatus::Success && right_amount;
                let after = transaction.status.unwrap();
                if before == Some(Paid) {
                    prop_assert!(matches!(after, Paid | Reversed));
                }
                if before == Some(Reversed) {
                    prop_assert_eq!(after, Reversed);
                }
                if !right_amount {
                    prop_assert_eq!(decision, Decision::Mismatch(Mismatch::Amount));
                    prop_assert_eq!(before.unwrap_or(AwaitingPayment), after);
                }
                // Only a success makes it paid, and every message told twice changes nothing the second time.
                prop_assert!(heard_success || !matches!(after, Paid | Reversed));
                let again = transaction.hear(&message);
                let repeated = matches!(again, Decision::Paid { .. } | Decision::Reversed);
                prop_assert!(!repeated);
                prop_assert_eq!(transaction.status, Some(after));
            }
            prop_assert!(transaction.paid <= 1);
        }
    }
}
