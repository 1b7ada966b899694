//! What a verified callback means, and how it is answered.

use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackStatus, CallbackTarget};
use domain::qris::{AmountDue, Nmid, TipMode};
use domain::transaction::{Decision, Mismatch, TransactionStatus, TransactionView, decide};
use serde_json::Value;
use wire::ids::CallbackId;

use super::{Incoming, Receipt};
use crate::service::payment::booking;
use crate::service::{Error, Noun, Result, Unit};
use crate::store;
use crate::store::payment::payee::Payee;
use crate::store::payment::transaction::Transaction;

/// How a callback is answered.
pub(super) enum Verdict {
    Taken(Receipt),
    Refused(Error),
}

impl Verdict {
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

/// A message as it is kept.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// What the archive calls where it came from.
    pub(super) route: &'a str,
    /// Without credentials.
    pub(super) headers: &'a Value,
    /// The raw bytes.
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn of(incoming: &'a Incoming) -> Self {
        Self {
            route: incoming.route(),
            headers: &incoming.headers,
            body: &incoming.body,
        }
    }
}

/// A verified callback on its way through the transaction.
pub(super) struct Reception<'a> {
    pub(super) id: CallbackId,
    pub(super) partner_id: &'a str,
    pub(super) message: Message<'a>,
    pub(super) callback: &'a Callback,
    pub(super) received_at: DateTime<Utc>,
}

/// What a success may say was paid: what was asked, what the code's tip makes of it, or, once it is paid, just that.
fn amount_due(unit: &Unit, transaction: &Transaction, status: TransactionStatus) -> AmountDue {
    let is_over = matches!(
        status,
        TransactionStatus::Paid | TransactionStatus::Reversed
    );
    let least = transaction
        .amount_due
        .filter(|_| !is_over)
        .unwrap_or(transaction.amount);
    if transaction.tip_mode.as_deref() == Some(TipMode::Free.as_str()) && !is_over {
        let most = unit.context().settings().amount_max;
        return AmountDue { least, most };
    }
    AmountDue::exactly(least)
}

impl Reception<'_> {
    pub(super) async fn judge(&self, unit: &mut Unit) -> Result<Verdict> {
        let reference = &self.callback.partner_reference;
        let named = match &self.callback.target {
            CallbackTarget::Transaction { id, .. } => Some(*id),
            CallbackTarget::Static { .. } => None,
        };
        store::payment::transaction::lock_reference(unit.conn(), self.partner_id, reference)
            .await?;
        let candidates = store::payment::transaction::lock_candidates(
            unit.conn(),
            self.partner_id,
            named,
            reference,
        )
        .await?;
        let carrier = candidates
            .iter()
            .find(|candidate| candidate.partner_reference.as_ref() == Some(reference));
        match &self.callback.target {
            CallbackTarget::Transaction { id, .. } => {
                if let Some(carrier) = carrier.filter(|carrier| carrier.id != *id) {
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
                self.judge_known(unit, transaction).await
            }
            CallbackTarget::Static {
                nmid,
                terminal_label,
            } => match carrier {
                Some(carrier) => self.judge_known(unit, carrier).await,
                None => self.judge_static(unit, nmid, terminal_label.as_ref()).await,
            },
        }
    }

    async fn judge_known(&self, unit: &mut Unit, transaction: &Transaction) -> Result<Verdict> {
        let payee = store::payment::payee::of_merchant(
            unit.conn(),
            transaction.merchant_id,
            self.paid_at(),
        )
        .await?;
        let kept = store::payment::incident::kept_of(
            unit.conn(),
            self.partner_id,
            transaction.id,
            &self.callback.partner_reference,
        )
        .await?;
        let nmid: Option<Nmid> = payee
            .nmid
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(anyhow::Error::from)?;
        let status: TransactionStatus = transaction.status.parse().map_err(anyhow::Error::from)?;
        let view = TransactionView {
            status,
            amount: transaction.amount,
            due: amount_due(unit, transaction, status),
            nmid: nmid.as_ref(),
            partner_reference: transaction.partner_reference.as_deref(),
            reference_is_unmatched: kept.reference_is_unmatched,
            reversal_is_held: kept.reversal_is_held,
        };
        let decision = decide(&view, self.callback);
        self.carry_out(unit, transaction, &payee, status, decision)
            .await
    }

    async fn carry_out(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        payee: &Payee,
        status: TransactionStatus,
        decision: Decision,
    ) -> Result<Verdict> {
        let taken = |verdict, status| Ok(Verdict::taken(verdict, Some(transaction), Some(status)));
        match decision {
            Decision::Paid { late } => {
                self.keep(unit, "accepted", None, Some(transaction.id), 200)
                    .await?;
                self.pay(unit, transaction, payee, status, late).await?;
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
                let cause = self.cause(unit);
                booking::reverse(unit, transaction, cause).await?;
                taken("accepted", TransactionStatus::Reversed)
            }
            Decision::Duplicate => {
                self.keep(unit, "duplicate", None, Some(transaction.id), 200)
                    .await?;
                taken("duplicate", status)
            }
            // The reversal of other money than the one that made it paid.
            Decision::OtherReference if self.callback.status == CallbackStatus::Reversed => {
                let open = self.take_back_kept(unit).await?;
                let (verdict, reason) = if open {
                    ("accepted", Some("unmatched_reversed"))
                } else {
                    ("duplicate", None)
                };
                self.keep(unit, verdict, reason, Some(transaction.id), 200)
                    .await?;
                taken(verdict, status)
            }
            Decision::OtherReference => {
                let reason = "paid_already";
                self.keep(unit, "unmatched", Some(reason), Some(transaction.id), 200)
                    .await?;
                self.keep_money(unit, Some(transaction.id), reason).await?;
                taken("unmatched", status)
            }
            Decision::Held => {
                self.keep(unit, "held", None, Some(transaction.id), 200)
                    .await?;
                let kind = match self.callback.status {
                    CallbackStatus::Reversed => "reversal_before_success",
                    _ => "success_after_reversal",
                };
                self.incident(unit, kind, Some(transaction.id)).await?;
                let now = unit.now();
                store::payment::partner_order::query_soon(unit.conn(), transaction.id, now).await?;
                taken("held", status)
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
