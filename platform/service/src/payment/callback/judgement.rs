//! What a verified callback means, and how it is answered.

use domain::callback::{CallbackStatus, CallbackTarget, PaidAmount};
use domain::qris::{AmountDue, Nmid, TipMode};
use domain::transaction::{
    Decision, Mismatch, ReferenceView, RefundView, TransactionStatus, TransactionView, decide,
};
use store::payment::incident::{Kept, KeptMoney};
use store::payment::payee::Payee;
use store::payment::transaction::{PartnerReference, Transaction};
use wire::ids::TransactionId;

use super::consequence::{Paid, pay};
use super::handler::{CallbackHandler, CallbackOutcome};
use super::taken_back::Refunds;
use crate::span;
use crate::{Error, Noun, Result, UnitOfWork};

/// What is known of the money that a callback is about.
struct Known {
    /// The partner's transactions that it names, or that carry its reference.
    candidates: Vec<Transaction>,
    kept: Kept,
}

/// The amounts that a success may report: what was asked for, tip included; with a free tip that or more, up to the largest
/// payment; once the transaction is paid, exactly what was paid.
fn amount_due(
    unit: &UnitOfWork,
    transaction: &Transaction,
    status: TransactionStatus,
) -> AmountDue {
    let is_over = matches!(
        status,
        TransactionStatus::Paid | TransactionStatus::Reversed
    );
    let least = transaction
        .amount_due
        .filter(|_| !is_over)
        .unwrap_or(transaction.amount);
    if transaction.tip_mode == Some(TipMode::Free) && !is_over {
        let most = unit.context().settings().amount_max;
        return AmountDue { least, most };
    }
    AmountDue::exactly(least)
}

impl CallbackHandler<'_> {
    /// Judges the message and writes what follows from it.
    pub(super) async fn apply(&self, unit: &mut UnitOfWork) -> Result<CallbackOutcome> {
        let outcome = self.judge(unit).await?;
        if let CallbackOutcome::Taken(receipt) = &outcome {
            self.trace(unit, receipt);
        }
        Ok(outcome)
    }

    /// Locks and reads what the callback is about.
    async fn load(&self, unit: &mut UnitOfWork) -> Result<Known> {
        let reference = self.reference();
        store::payment::transaction::lock_references(unit.conn(), &[reference]).await?;
        let (named, conn) = (self.named(), unit.conn());
        let candidates =
            store::payment::transaction::lock_candidates(conn, reference, named).await?;
        let kept = store::payment::incident::kept_of(conn, reference).await?;
        Ok(Known { candidates, kept })
    }

    async fn judge(&self, unit: &mut UnitOfWork) -> Result<CallbackOutcome> {
        let reference = &self.callback.partner_reference;
        let named = self.named();
        let Known { candidates, kept } = self.load(unit).await?;
        let carrier = candidates
            .iter()
            .find(|candidate| candidate.partner_reference.as_ref() == Some(reference));
        if let Some(money) = &kept.money
            && carrier.is_none()
            && !self.is_amount_of(money)
        {
            let error = Error::Duplicate {
                message: "this partner_reference was used for another amount".into(),
                retry_after_s: None,
            };
            return self
                .refuse(
                    unit,
                    "amount_mismatch",
                    named_and_known(&candidates, named),
                    error,
                )
                .await;
        }
        match &self.callback.target {
            CallbackTarget::Transaction { id, .. } => {
                if let Some(carrier) = carrier.filter(|carrier| carrier.id != *id) {
                    // Money that was told of this code, kept, and then assigned by an operator is that payment still.
                    let became = kept.money.as_ref().is_some_and(|money| {
                        money.claimed == Some(*id) && money.assigned_to == Some(carrier.id)
                    });
                    if became {
                        return self.judge_known(unit, carrier, &kept).await;
                    }
                    let error = Error::Duplicate {
                        message: "this partner_reference belongs to another transaction".into(),
                        retry_after_s: None,
                    };
                    return self
                        .refuse(unit, "reference_reused", Some(carrier.id), error)
                        .await;
                }
                let Some(transaction) = candidates.iter().find(|candidate| candidate.id == *id)
                else {
                    let error = Error::NotFound(Noun::Transaction);
                    return self.refuse(unit, "unknown_transaction", None, error).await;
                };
                self.judge_known(unit, transaction, &kept).await
            }
            CallbackTarget::Static(code) => match carrier {
                Some(carrier) => self.judge_known(unit, carrier, &kept).await,
                None => self.judge_static(unit, code, &kept).await,
            },
        }
    }

    fn is_amount_of(&self, money: &KeptMoney) -> bool {
        match &self.callback.amount {
            PaidAmount::Exact(amount) => money.amount == Some(*amount),
            PaidAmount::OutOfRange(text) => money.amount_text.as_ref() == Some(text),
        }
    }

    async fn judge_known(
        &self,
        unit: &mut UnitOfWork,
        transaction: &Transaction,
        kept: &Kept,
    ) -> Result<CallbackOutcome> {
        span::set_transaction(transaction.id);
        span::set_merchant(transaction.merchant_id);
        let payee =
            store::payment::payee::of_merchant(unit.conn(), transaction.merchant_id, self.time.at)
                .await?;
        let refunds = Refunds::load(unit, self, transaction).await?;
        let view = refunds.view(self.callback);
        let decision = self.decide(unit, transaction, &payee, kept.view(), view)?;
        unit.decided();
        let known = (kept, &refunds);
        self.carry_out(unit, transaction, &payee, known, decision)
            .await
    }

    /// What the callback means for a transaction of this payee.
    pub(super) fn decide(
        &self,
        unit: &UnitOfWork,
        transaction: &Transaction,
        payee: &Payee,
        reference: ReferenceView,
        refunds: RefundView,
    ) -> Result<Decision> {
        let nmid: Option<Nmid> = payee
            .nmid
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(anyhow::Error::from)?;
        let view = TransactionView {
            status: transaction.status,
            amount: transaction.amount,
            due: amount_due(unit, transaction, transaction.status),
            nmid: nmid.as_ref(),
            partner_reference: transaction.partner_reference.as_deref(),
            reference,
            refunds,
        };
        Ok(decide(&view, self.callback))
    }

    /// The transaction that it names.
    pub(super) fn named(&self) -> Option<TransactionId> {
        match &self.callback.target {
            CallbackTarget::Transaction { id, .. } => Some(*id),
            CallbackTarget::Static(_) => None,
        }
    }

    /// The partner's name for the money.
    pub(super) fn reference(&self) -> PartnerReference<'_> {
        PartnerReference {
            partner_id: self.message.partner_id,
            reference: &self.callback.partner_reference,
        }
    }

    async fn carry_out(
        &self,
        unit: &mut UnitOfWork,
        transaction: &Transaction,
        payee: &Payee,
        (kept, refunds): (&Kept, &Refunds),
        decision: Decision,
    ) -> Result<CallbackOutcome> {
        let status = transaction.status;
        let taken = |verdict, status| {
            Ok(CallbackOutcome::taken(
                verdict,
                Some(transaction),
                Some(status),
            ))
        };
        match decision {
            Decision::Paid { late } => {
                let terminal_id = transaction.terminal_id;
                let listeners =
                    store::fleet::binding::listeners_for_share(unit.conn(), terminal_id).await?;
                let paid = Paid {
                    handler: self,
                    transaction,
                    payee,
                    listeners: &listeners,
                    late,
                };
                pay(unit, &[paid]).await?;
                taken("accepted", TransactionStatus::Paid)
            }
            Decision::Failed => {
                self.end(unit, transaction, status, TransactionStatus::Failed)
                    .await
            }
            Decision::Expired => {
                self.end(unit, transaction, status, TransactionStatus::Expired)
                    .await
            }
            Decision::Reversed => {
                self.keep(unit, "accepted", None, Some(transaction.id), 200)
                    .await?;
                let status = self.take_part_back(unit, transaction, refunds).await?;
                taken("accepted", status)
            }
            Decision::Duplicate => {
                refunds.learn(unit, self.callback, transaction.id).await?;
                self.keep(unit, "duplicate", None, Some(transaction.id), 200)
                    .await?;
                taken("duplicate", status)
            }
            // The reversal of other money than the one that made it paid.
            Decision::OtherReference if self.callback.status == CallbackStatus::Reversed => {
                let (verdict, reason) = self.take_back(unit, kept).await?;
                self.keep(unit, verdict, reason, Some(transaction.id), 200)
                    .await?;
                taken(verdict, status)
            }
            Decision::OtherReference => {
                let reason = "paid_already";
                self.keep(unit, "unmatched", Some(reason), Some(transaction.id), 200)
                    .await?;
                self.keep_money(unit, Some(transaction.id), reason, &[])
                    .await?;
                taken("unmatched", status)
            }
            Decision::Held => self.hold(unit, Some(transaction)).await,
            Decision::HeldMoney => {
                let verdict = self.hold(unit, Some(transaction)).await?;
                self.keep_money(unit, Some(transaction.id), "after_reversal", &[])
                    .await?;
                Ok(verdict)
            }
            Decision::Ignored { contradictory } => {
                self.keep(unit, "ignored", None, Some(transaction.id), 200)
                    .await?;
                if contradictory {
                    self.incident(unit, "contradicts_payment", Some(transaction.id))
                        .await?;
                }
                taken("ignored", status)
            }
            Decision::Mismatch(mismatch) => {
                let error = if transaction.partner_reference.as_ref()
                    == Some(&self.callback.partner_reference)
                {
                    Error::Duplicate {
                        message: format!(
                            "this partner_reference was used for another {}",
                            mismatch.as_str()
                        ),
                        retry_after_s: None,
                    }
                } else {
                    Error::InvalidState {
                        current: status.to_string(),
                        message: format!("the {} is not the transaction's", mismatch.as_str()),
                    }
                };
                let kind = match mismatch {
                    Mismatch::Amount => "amount_mismatch",
                    Mismatch::Merchant => "merchant_mismatch",
                };
                self.refuse(unit, kind, Some(transaction.id), error).await
            }
        }
    }
}

/// The transaction that a message names, if it is there.
fn named_and_known(
    candidates: &[Transaction],
    named: Option<TransactionId>,
) -> Option<TransactionId> {
    named.filter(|id| candidates.iter().any(|candidate| candidate.id == *id))
}
