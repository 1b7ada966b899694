//! What is kept of a callback: the callback itself, incidents, unmatched money, history.

use domain::callback::CallbackTarget;
use domain::qris::{Nmid, TerminalLabel};
use serde_json::json;
use wire::ids::{IncidentId, TransactionId, UnmatchedPaymentId};

use super::judgement::{Reception, Verdict};
use crate::service::payment::{incident, unmatched_payment};
use crate::service::{Error, Result, Unit};
use crate::store;
use crate::store::payment::transaction::Cause;

impl Reception<'_> {
    pub(super) async fn keep(
        &self,
        unit: &mut Unit,
        verdict: &str,
        reason: Option<&str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Result<()> {
        let callback = store::payment::callback::Callback {
            id: self.id,
            route: self.message.route,
            partner_id: Some(self.partner_id),
            received_at: self.received_at,
            headers: self.message.headers,
            body: self.message.body,
            verdict,
            reason,
            http_status,
            partner_reference: Some(&self.callback.partner_reference),
            transaction_id,
        };
        store::payment::callback::insert(unit.conn(), &callback).await?;
        Ok(())
    }

    pub(super) async fn keep_money(
        &self,
        unit: &mut Unit,
        transaction_id: Option<TransactionId>,
        reason: &str,
    ) -> Result<()> {
        let (nmid, terminal_label) = match &self.callback.target {
            CallbackTarget::Transaction { nmid, .. } => (nmid.as_ref(), None),
            CallbackTarget::Static {
                nmid,
                terminal_label,
            } => (Some(nmid), terminal_label.as_ref()),
        };
        let unmatched = store::payment::unmatched_payment::NewUnmatched {
            id: UnmatchedPaymentId::from_uuid(unit.uuid()),
            callback_id: self.id,
            partner_id: self.partner_id,
            partner_reference: &self.callback.partner_reference,
            transaction_id,
            nmid: nmid.map(Nmid::as_str),
            terminal_label: terminal_label.map(TerminalLabel::as_str),
            amount: self.callback.amount,
            paid_at: self.callback.paid_at.unwrap_or(self.received_at),
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            reason,
            created_at: unit.now(),
        };
        unmatched_payment::keep(unit, &unmatched).await
    }

    pub(super) async fn incident(
        &self,
        unit: &mut Unit,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let incident = store::payment::incident::NewIncident {
            id: IncidentId::from_uuid(unit.uuid()),
            kind,
            partner_id: self.partner_id,
            transaction_id,
            callback_id: self.id,
            details: json!({
                "event_id": self.callback.event_id,
                "partner_reference": self.callback.partner_reference,
                "amount": self.callback.amount,
                "status": self.callback.status,
            }),
            created_at: unit.now(),
        };
        incident::open(unit, &incident).await
    }

    pub(super) async fn refuse(
        &self,
        unit: &mut Unit,
        kind: &str,
        transaction_id: Option<TransactionId>,
        error: Error,
    ) -> Result<Verdict> {
        let http_status = error.code().status();
        self.keep(unit, "incident", Some(kind), transaction_id, http_status)
            .await?;
        self.incident(unit, kind, transaction_id).await?;
        Ok(Verdict::Refused(error))
    }

    /// This callback, as the cause of a change.
    pub(super) fn cause(&self, unit: &Unit) -> Cause<'static> {
        Cause {
            at: unit.now(),
            cause: "callback",
            callback_id: Some(self.id),
        }
    }
}
