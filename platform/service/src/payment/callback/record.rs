//! What is kept of a callback: the callback itself, incidents, unmatched money, history.

use domain::attribution::Attempt;
use domain::callback::{CallbackTarget, PaidAmount, PrintedCode};
use domain::qris::Nmid;
use serde_json::json;
use store::payment::transaction::Cause;
use wire::ids::{TransactionId, UnmatchedPaymentId};

use super::handler::{CallbackHandler, CallbackOutcome};
use super::verified::Entry;
use crate::payment::unmatched_payment;
use crate::{Error, Result, UnitOfWork};

impl CallbackHandler<'_> {
    pub(super) async fn keep(
        &self,
        unit: &mut UnitOfWork,
        verdict: &str,
        reason: Option<&str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Result<()> {
        let entry = self.entry(verdict, reason, transaction_id, http_status);
        self.message.archive(unit.conn(), entry).await
    }

    /// What becomes of this callback.
    pub(super) fn entry<'e>(
        &'e self,
        verdict: &'e str,
        reason: Option<&'e str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Entry<'e> {
        Entry {
            verdict,
            reason,
            http_status,
            partner_reference: Some(&self.callback.partner_reference),
            transaction_id,
        }
    }

    /// Keeps money that is not booked, for an operator to attribute.
    pub(super) async fn keep_money(
        &self,
        unit: &mut UnitOfWork,
        transaction_id: Option<TransactionId>,
        reason: &str,
        tried: &[Attempt],
    ) -> Result<()> {
        let no_code = PrintedCode::default();
        let (nmid, code) = match &self.callback.target {
            CallbackTarget::Transaction { nmid, .. } => (nmid.as_ref().map(Nmid::as_str), &no_code),
            CallbackTarget::Static(code) => (code.nmid.as_deref(), code),
        };
        let (amount, amount_text) = match &self.callback.amount {
            PaidAmount::Exact(amount) => (Some(*amount), None),
            PaidAmount::OutOfRange(text) => (None, Some(text.as_str())),
        };
        let unmatched = store::payment::unmatched_payment::NewUnmatched {
            id: UnmatchedPaymentId::from_uuid(unit.uuid()),
            callback_id: self.message.id,
            partner_id: self.message.partner_id,
            partner_reference: &self.callback.partner_reference,
            transaction_id,
            nmid,
            merchant_pan: code.merchant_pan.as_deref(),
            terminal_label: code.terminal_label.as_deref(),
            terminal_id: code.terminal_id.as_deref(),
            partner_merchant_id: code.merchant_id.as_deref(),
            partner_store_id: code.store_id.as_deref(),
            tried,
            amount,
            amount_text,
            paid_at: self.time.at,
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            reason,
            created_at: unit.now(),
        };
        unmatched_payment::keep(unit, &unmatched).await?;
        self.note_clock(unit, transaction_id).await
    }

    /// Money was taken at a time that the partner's clock cannot be right about: an incident, and the payment stands.
    pub(super) async fn note_clock(
        &self,
        unit: &mut UnitOfWork,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        if self.time.is_far_off {
            self.incident(unit, "clock_far_off", transaction_id).await?;
        }
        Ok(())
    }

    /// Keeps an incident, unless the same bytes were answered before: what was answered once has no effect a second time.
    pub(super) async fn incident(
        &self,
        unit: &mut UnitOfWork,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let was_answered = store::payment::callback::was_answered(
            unit.conn(),
            self.message.partner_id,
            &self.callback.partner_reference,
            self.message.body,
            self.message.id,
        )
        .await?;
        if was_answered {
            return Ok(());
        }
        let amount_text = match &self.callback.amount {
            PaidAmount::OutOfRange(text) => Some(text),
            PaidAmount::Exact(_) => None,
        };
        let reference = &self.callback.partner_reference;
        let details = json!({
            "event_id": self.callback.event_id,
            "partner_reference": reference,
            "amount": self.callback.amount.rupiah(),
            "amount_text": amount_text,
            "status": self.callback.status,
            "paid_at": self.callback.paid_at,
        });
        self.message
            .incident(unit, kind, transaction_id, Some(reference), details)
            .await
    }

    pub(super) async fn refuse(
        &self,
        unit: &mut UnitOfWork,
        kind: &str,
        transaction_id: Option<TransactionId>,
        error: Error,
    ) -> Result<CallbackOutcome> {
        let http_status = error.code().status();
        self.keep(unit, "incident", Some(kind), transaction_id, http_status)
            .await?;
        self.incident(unit, kind, transaction_id).await?;
        unit.raise(self.message.rejected(kind));
        Ok(CallbackOutcome::Refused(error))
    }

    /// This callback, as the cause of a change.
    pub(super) fn cause(&self, unit: &UnitOfWork) -> Cause<'static> {
        Cause {
            at: unit.now(),
            cause: "callback",
            callback_id: Some(self.message.id),
        }
    }
}
