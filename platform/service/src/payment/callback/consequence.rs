//! What follows from a callback: transitions, ledger lines, announcements.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::announcement::AnnouncementWindow;
use domain::callback::{CallbackStatus, PrintedCode};
use domain::ledger::Posting;
use domain::transaction::{Decision, TransactionStatus, decide_printed};
use serde_json::json;
use store::fleet::binding::Listener;
use store::payment::incident::Kept;
use store::payment::payee::Payee;
use store::payment::success::Success;
use store::payment::transaction::Transaction;
use store::payment::unmatched_payment::Closing;

use super::attribution::{self, Attribution, Unattributed};
use super::handler::{CallbackHandler, CallbackOutcome};
use crate::money::{fee, ledger};
use crate::payment::booking::{self, Sale};
use crate::payment::notification::{self, Enqueued, Payment};
use crate::span;
use crate::{Result, UnitOfWork};

/// A callback that says that a transaction was paid, and what it means for it.
pub(super) struct Paid<'a> {
    pub(super) handler: &'a CallbackHandler<'a>,
    /// As it was before; its row is locked.
    pub(super) transaction: &'a Transaction,
    pub(super) payee: &'a Payee,
    /// The boxes at its terminal; their bindings are locked.
    pub(super) listeners: &'a [Listener],
    /// It had ended before.
    pub(super) late: bool,
}

/// A payment with what it costs.
struct Priced<'a> {
    handler: &'a CallbackHandler<'a>,
    payee: &'a Payee,
    listeners: &'a [Listener],
    /// The status that it had before.
    from: TransactionStatus,
    /// As it is with the payment.
    transaction: Transaction,
    posting: Posting,
}

impl<'a> Paid<'a> {
    /// What was paid is booked, announced and settled: with a tip, that is more than was asked.
    fn priced(&self, unit: &UnitOfWork) -> Result<Priced<'a>> {
        let callback = self.handler.callback;
        let amount = callback.amount.rupiah();
        let amount = amount.ok_or_else(|| anyhow::anyhow!("an amount out of range is due"))?;
        let tip = match self.transaction.tip_mode {
            Some(_) => amount.checked_sub(self.transaction.amount),
            None => None,
        };
        let cost = fee::of_payment(self.payee, amount, self.handler.time.at)?;
        Ok(Priced {
            handler: self.handler,
            payee: self.payee,
            listeners: self.listeners,
            from: self.transaction.status,
            transaction: Transaction {
                amount,
                tip,
                status: TransactionStatus::Paid,
                late: self.late,
                fee: Some(cost.fee),
                net: Some(cost.net),
                fee_profile_id: Some(self.payee.fee_profile_id.clone()),
                fee_version: Some(cost.version),
                partner_reference: Some(callback.partner_reference.clone()),
                rrn: callback.rrn.clone(),
                issuer: callback.issuer.clone(),
                paid_at: Some(self.handler.time.at),
                accepted_at: Some(unit.now()),
                ..self.transaction.clone()
            },
            posting: Posting::sale(amount, cost.fee).map_err(anyhow::Error::from)?,
        })
    }
}

impl Priced<'_> {
    fn success(&self, unit: &UnitOfWork) -> Success<'_> {
        let id = Some(self.transaction.id);
        let entry = self.handler.entry("accepted", None, id, 200);
        Success {
            archived: self.handler.message.archived_as(entry),
            from: self.from,
            paid: &self.transaction,
            posting: ledger::row(unit, booking::subject(&self.transaction), &self.posting),
        }
    }

    fn announcement(&self, unit: &UnitOfWork) -> Payment<'_> {
        let (paid_at, window) = (self.handler.time.at, self.handler.window(unit));
        Payment::first(&self.transaction, self.payee, paid_at, window)
    }
}

/// paid: the archived callbacks, the transitions, the payments, the postings and the outbox rows, in one statement.
pub(super) async fn pay(unit: &mut UnitOfWork, paid: &[Paid<'_>]) -> Result<()> {
    let priced = paid
        .iter()
        .map(|one| one.priced(unit))
        .collect::<Result<Vec<_>>>()?;
    let successes: Vec<_> = priced.iter().map(|one| one.success(unit)).collect();
    let mut announcements = Vec::with_capacity(priced.len());
    let mut unheard = Vec::new();
    for one in &priced {
        let payment = one.announcement(unit);
        let enqueued = notification::prepare(unit, &payment, one.listeners, &mut announcements);
        unheard.extend(unannounced(&payment, &enqueued));
    }
    let now = unit.now();
    store::payment::success::write(unit.conn(), &successes, &mut announcements, now).await?;
    for one in &priced {
        let id = Some(one.transaction.id);
        one.handler.note_clock(unit, id).await?;
    }
    notification::enqueued(unit, announcements);
    for alert in unheard {
        unit.raise(alert);
    }
    Ok(())
}

impl CallbackHandler<'_> {
    fn window(&self, unit: &UnitOfWork) -> AnnouncementWindow {
        let policy = unit.context().settings().announcement;
        policy.window(self.time.at, unit.now())
    }

    pub(super) async fn end(
        &self,
        unit: &mut UnitOfWork,
        transaction: &Transaction,
        from: TransactionStatus,
        to: TransactionStatus,
    ) -> Result<CallbackOutcome> {
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        let cause = self.cause(unit);
        store::payment::transaction::set_status(unit.conn(), transaction.id, from, to, cause)
            .await?;
        Ok(CallbackOutcome::taken(
            "accepted",
            Some(transaction),
            Some(to),
        ))
    }

    /// A message about a printed code whose reference no transaction carries.
    pub(super) async fn judge_static(
        &self,
        unit: &mut UnitOfWork,
        code: &PrintedCode,
        kept: &Kept,
    ) -> Result<CallbackOutcome> {
        let decision = decide_printed(kept.view(), self.callback.status);
        unit.decided();
        match decision {
            Decision::Paid { .. } => self.pay_static(unit, code).await,
            Decision::Duplicate if self.callback.status == CallbackStatus::Success => {
                self.keep(unit, "unmatched", Some("kept_already"), None, 200)
                    .await?;
                Ok(CallbackOutcome::taken("unmatched", None, None))
            }
            Decision::OtherReference => {
                let (verdict, reason) = self.take_back(unit, kept).await?;
                self.keep(unit, verdict, reason, None, 200).await?;
                Ok(CallbackOutcome::taken(verdict, None, None))
            }
            Decision::Held => self.hold(unit, None).await,
            Decision::Ignored { contradictory } => {
                self.keep(unit, "ignored", Some("no_such_payment"), None, 200)
                    .await?;
                if contradictory {
                    self.incident(unit, "contradicts_payment", None).await?;
                }
                Ok(CallbackOutcome::taken("ignored", None, None))
            }
            _ => {
                self.keep(unit, "duplicate", None, None, 200).await?;
                Ok(CallbackOutcome::taken("duplicate", None, None))
            }
        }
    }

    /// A payment of a printed code makes its own transaction, if it is known whose it is and can be counted.
    async fn pay_static(
        &self,
        unit: &mut UnitOfWork,
        code: &PrintedCode,
    ) -> Result<CallbackOutcome> {
        let amount_max = unit.context().settings().amount_max;
        let amount = self.callback.amount.rupiah();
        let attribution =
            attribution::attribute(unit, self.message.partner_id, code, self.time.at).await?;
        let (found, amount) = match (attribution, amount) {
            (Attribution::Terminal(found), Some(amount)) if amount <= amount_max => (found, amount),
            (Attribution::Terminal(found), _) => {
                let why = Unattributed {
                    reason: "amount_beyond_max",
                    merchant_id: Some(found.payee.merchant_id),
                    tried: Vec::new(),
                };
                return self.keep_unmatched(unit, &why).await;
            }
            (Attribution::None(why), _) => return self.keep_unmatched(unit, &why).await,
        };
        let payee = &found.payee;
        let sale = Sale {
            payee,
            outlet_id: found.outlet_id,
            terminal_id: found.terminal_id,
            partner_id: self.message.partner_id,
            partner_reference: &self.callback.partner_reference,
            amount,
            paid_at: self.time.at,
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            cause: self.cause(unit),
        };
        let transaction = sale.book(unit).await?;
        span::set_transaction(transaction.id);
        span::set_merchant(transaction.merchant_id);
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        self.note_clock(unit, Some(transaction.id)).await?;
        let window = self.window(unit);
        let payment = Payment::first(&transaction, payee, self.time.at, window);
        announce(unit, &payment).await?;
        Ok(CallbackOutcome::taken(
            "accepted",
            Some(&transaction),
            Some(TransactionStatus::Paid),
        ))
    }

    /// The payment of a printed code that is not booked: its money is kept as unmatched, and not announced.
    async fn keep_unmatched(
        &self,
        unit: &mut UnitOfWork,
        why: &Unattributed,
    ) -> Result<CallbackOutcome> {
        let reason = why.reason;
        self.keep(unit, "unmatched", Some(reason), None, 200)
            .await?;
        self.keep_money(unit, None, reason, &why.tried).await?;
        let amount_max = unit.context().settings().amount_max;
        if self
            .callback
            .amount
            .rupiah()
            .is_none_or(|amount| amount > amount_max)
        {
            self.incident(unit, "amount_beyond_max", None).await?;
        }
        if let Some(merchant_id) = why.merchant_id {
            unit.raise(NewAlert::new(
                AlertKind::UnannouncedPayment,
                AlertSubject::Merchant(merchant_id),
                json!({
                    "reason": reason,
                    "transaction_id": null,
                    "partner_reference": self.callback.partner_reference,
                    "tried": why.tried,
                }),
            ));
        }
        Ok(CallbackOutcome::taken("unmatched", None, None))
    }

    /// An order of messages that cannot be: kept with an incident, and the partner is asked, if it can be.
    pub(super) async fn hold(
        &self,
        unit: &mut UnitOfWork,
        transaction: Option<&Transaction>,
    ) -> Result<CallbackOutcome> {
        let id = transaction.map(|transaction| transaction.id);
        self.keep(unit, "held", None, id, 200).await?;
        let kind = match self.callback.status {
            CallbackStatus::Reversed => "reversal_before_success",
            _ => "success_after_reversal",
        };
        self.incident(unit, kind, id).await?;
        if let Some(id) = id {
            let now = unit.now();
            store::payment::partner_order::query_soon(unit.conn(), id, now).await?;
        }
        let status = transaction.map(|transaction| transaction.status);
        Ok(CallbackOutcome::taken("held", transaction, status))
    }

    /// A reversal of money that is kept as unmatched: it can no longer be assigned. Answers with verdict and reason.
    pub(super) async fn take_back(
        &self,
        unit: &mut UnitOfWork,
        kept: &Kept,
    ) -> Result<(&'static str, Option<&'static str>)> {
        let Some(open) = kept.money.as_ref().filter(|money| money.status == "open") else {
            return Ok(("duplicate", None));
        };
        let closing = Closing {
            assigned_to: None,
            closed_at: unit.now(),
            closed_by: self.message.partner_id,
        };
        store::payment::unmatched_payment::close(unit.conn(), open.id, closing).await?;
        Ok(("accepted", Some("unmatched_reversed")))
    }
}

/// Writes the outbox rows of a payment; when no box will announce it, an alert with the reason.
pub(in crate::payment) async fn announce(
    unit: &mut UnitOfWork,
    payment: &Payment<'_>,
) -> Result<()> {
    let enqueued = notification::enqueue(unit, payment).await?;
    if let Some(alert) = unannounced(payment, &enqueued) {
        unit.raise(alert);
    }
    Ok(())
}

/// The alert that no box will announce a payment.
fn unannounced(payment: &Payment<'_>, enqueued: &Enqueued) -> Option<NewAlert> {
    let reason = enqueued.unheard?;
    let transaction = payment.transaction;
    let alert = NewAlert::new(
        AlertKind::UnannouncedPayment,
        AlertSubject::Terminal(transaction.terminal_id),
        json!({ "reason": reason, "transaction_id": transaction.id }),
    );
    Some(alert.of_merchant(transaction.merchant_id))
}
