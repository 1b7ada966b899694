//! A verified callback while it is applied, and how it is answered. What it means is in `judgement`, what follows from it in
//! `consequence`.

use domain::callback::Callback;
use domain::payment_time::PaymentTime;
use domain::transaction::TransactionStatus;
use store::payment::transaction::Transaction;

use super::Receipt;
use super::verified::Verified;
use crate::payment::trace::Origin;
use crate::{Error, UnitOfWork};

/// How a callback is answered.
pub(super) enum CallbackOutcome {
    Taken(Receipt),
    Refused(Error),
}

impl CallbackOutcome {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Taken(receipt) => receipt.verdict,
            Self::Refused(_) => "incident",
        }
    }

    pub(super) fn taken(
        verdict: &'static str,
        transaction: Option<&Transaction>,
        status: Option<TransactionStatus>,
    ) -> Self {
        Self::Taken(Receipt {
            verdict,
            transaction_id: transaction.map(|transaction| transaction.id),
            status,
        })
    }
}

/// A verified callback while it is applied, in one database transaction.
pub(super) struct CallbackHandler<'a> {
    pub(super) message: Verified<'a>,
    pub(super) callback: &'a Callback,
    /// The business time of the payment, by which fees, settlements and announcements go.
    pub(super) time: PaymentTime,
}

impl<'a> CallbackHandler<'a> {
    pub(super) fn new(unit: &UnitOfWork, message: Verified<'a>, callback: &'a Callback) -> Self {
        let policy = unit.context().settings().clocks;
        Self {
            message,
            callback,
            time: policy.payment_time(callback.paid_at, unit.now()),
        }
    }

    /// Reports what it did to a transaction as a step of that payment.
    pub(super) fn trace(&self, unit: &mut UnitOfWork, receipt: &Receipt) {
        let Some(transaction_id) = receipt.transaction_id else {
            return;
        };
        unit.trace(Origin {
            transaction_id,
            name: "callback",
            verdict: receipt.verdict,
            pays: receipt.verdict == "accepted" && receipt.status == Some(TransactionStatus::Paid),
            received_at: self.message.received_at,
            verified_at: self.message.verified_at,
        });
    }
}
