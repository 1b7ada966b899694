//! What is kept of a callback: the callback itself, incidents, unmatched money, history, ledger lines.

use domain::callback::CallbackTarget;
use domain::ledger::{Posting, Side};
use domain::qris::{Nmid, TerminalLabel};
use serde_json::json;
use wire::ids::{IncidentId, TransactionId};

use super::ROUTE;
use super::judgement::{Reception, Verdict};
use crate::service::{Error, Result, Unit};
use crate::store;
use crate::store::payment::transaction::{Cause, Transaction};

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
            route: ROUTE,
            partner_id: Some(self.partner_id),
            received_at: self.received_at,
            headers: &self.incoming.headers,
            body: &self.incoming.body,
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
        let unmatched = store::payment::callback::Unmatched {
            id: unit.uuid(),
            callback_id: self.id,
            partner_id: self.partner_id,
            partner_reference: &self.callback.partner_reference,
            transaction_id,
            nmid: nmid.map(Nmid::as_str),
            terminal_label: terminal_label.map(TerminalLabel::as_str),
            amount: self.callback.amount,
            paid_at: self.callback.paid_at.unwrap_or(self.received_at),
            reason,
            created_at: unit.now(),
        };
        store::payment::callback::insert_unmatched(unit.conn(), &unmatched).await?;
        Ok(())
    }

    pub(super) async fn incident(
        &self,
        unit: &mut Unit,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let incident = store::payment::incident::Incident {
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
        store::payment::incident::insert(unit.conn(), &incident).await?;
        Ok(())
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

    pub(super) async fn post(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        posting: &Posting,
    ) -> Result<()> {
        let subject = store::money::ledger::Subject {
            posting_id: unit.uuid(),
            kind: posting.kind().as_str(),
            merchant_id: transaction.merchant_id,
            partner_id: self.partner_id,
            transaction_id: transaction.id,
            at: unit.now(),
        };
        let lines: Vec<store::money::ledger::Line> = posting
            .lines()
            .iter()
            .map(|line| store::money::ledger::Line {
                account: line.account.as_str(),
                debit: if line.side == Side::Debit {
                    line.amount
                } else {
                    wire::Rupiah::ZERO
                },
                credit: if line.side == Side::Credit {
                    line.amount
                } else {
                    wire::Rupiah::ZERO
                },
            })
            .collect();
        store::money::ledger::insert(unit.conn(), subject, &lines).await?;
        Ok(())
    }
}
