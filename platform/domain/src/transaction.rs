//! The life of a payment, and what a verified callback means for it.
//!
//! `initiated → awaiting_payment → paid | failed | expired`, and `paid → reversed`. A success also makes a failed
//! or expired payment paid (`late`): the customer's money was taken, whatever was reported before. Nothing else leads
//! out of `paid`, and nothing out of `reversed`.
//!
//! [`decide`] is the whole judgement of a callback: the service only carries it out, in one database transaction
//! with the row locked.

use wire::rupiah::Rupiah;

use crate::callback::{Callback, CallbackStatus};
use crate::qris::{AmountDue, Nmid};
use crate::refund::RefundStatus;
use crate::text_enum::text_enum;

text_enum! {
    /// The state of a payment.
    pub enum TransactionStatus as "transaction status" {
        /// Asked for; the partner has not given a code yet.
        Initiated = "initiated",
        /// The customer can pay.
        AwaitingPayment = "awaiting_payment",
        /// The customer's money was taken.
        Paid = "paid",
        /// The payment was refused, or no code could be had.
        Failed = "failed",
        /// It was not paid in time.
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

text_enum! {
    /// Which kinds of codes a terminal has.
    pub enum QrMode as "QR mode" {
        /// A printed code only.
        Static = "static",
        /// A code for each payment only.
        Dynamic = "dynamic",
        /// Both.
        Both = "both",
    }
}

impl QrMode {
    /// Whether the terminal has codes of this kind.
    pub const fn takes(self, kind: QrType) -> bool {
        match self {
            Self::Static => matches!(kind, QrType::Static),
            Self::Dynamic => matches!(kind, QrType::Dynamic),
            Self::Both => true,
        }
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

    /// It was not paid in time.
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
    /// Which amounts a success may report.
    pub due: AmountDue,
    /// The merchant's NMID, when it has one.
    pub nmid: Option<&'a Nmid>,
    /// The reference of the money that made it paid.
    pub partner_reference: Option<&'a str>,
    /// What is known of the callback's own reference beside this transaction.
    pub reference: ReferenceView,
    /// What was taken back before.
    pub refunds: RefundView,
}

/// What is known of the refunds of a payment, for a message that takes money back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefundView {
    /// The partner takes back parts of payments.
    pub allows_parts: bool,
    /// What was taken back so far.
    pub refunded: Rupiah,
    /// How much the refund is that the message is about, and how far, if it is stored
    /// ([`crate::refund::recognise`]).
    pub known: Option<(Rupiah, RefundStatus)>,
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
    /// The amount of the callback is taken back now, which is all that is left of the payment unless the partner takes back
    /// parts: ledger, 200.
    Reversed,
    /// Reported before; nothing changes. 200.
    Duplicate,
    /// Money with another reference on a transaction that is paid: kept as unmatched. 200.
    OtherReference,
    /// Signed, and contradicting what we know: an incident, nothing changes. 409.
    Mismatch(Mismatch),
    /// Out of order: kept, with an incident, and the partner is queried; nothing is announced. 200.
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
        CallbackStatus::Reversed => reversed(current, callback, is_own),
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
    let is_own = current.partner_reference == Some(callback.partner_reference.as_str());
    if callback.status == CallbackStatus::Reversed && is_own && current.refunds.allows_parts {
        // What may be taken back of it is another question.
        return None;
    }
    // The message of a payment that failed may leave the tip out.
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

/// A reversal takes back the money of its own reference and no other: one that names unknown money must not
/// take back the payment that made the transaction paid.
fn reversed(current: &TransactionView<'_>, callback: &Callback, is_own: bool) -> Decision {
    let was_paid = matches!(
        current.status,
        TransactionStatus::Paid | TransactionStatus::Reversed
    );
    match callback.amount.rupiah() {
        Some(amount) if is_own && was_paid => {
            taken_back(current, amount, callback.refund_no.is_some())
        }
        _ => unpaid_reversed(current.reference),
    }
}

/// A refund of so much of a payment. One without a number takes back the whole: a part could not be told from the same message
/// sent twice.
fn taken_back(current: &TransactionView<'_>, amount: Rupiah, is_numbered: bool) -> Decision {
    let refunds = &current.refunds;
    let mismatch = Decision::Mismatch(Mismatch::Amount);
    match refunds.known {
        Some((known, _)) if known != amount => return mismatch,
        Some((_, RefundStatus::Done)) => return Decision::Duplicate,
        None if !is_numbered && amount != current.amount => return mismatch,
        None if !is_numbered && current.status == TransactionStatus::Reversed => {
            return Decision::Duplicate;
        }
        _ => {}
    }
    let left = current.amount.checked_sub(refunds.refunded);
    if left.is_some_and(|left| amount <= left) {
        Decision::Reversed
    } else {
        mismatch
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
mod tests;
