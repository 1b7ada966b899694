//! A payout under its lock, and the steps that it takes.

use chrono::{DateTime, Utc};
use domain::ledger::Posting;
use domain::payout::{Decision, PayoutOutcome, PayoutStatus, PayoutView, decide, postings};
use serde_json::json;
use store::money::payout::{Cause, Message, Payout, Step};
use store::money::settlement::Settlement;
use wire::ids::PayoutId;

use crate::money::ledger::{self, Subject};
use crate::{Result, UnitOfWork};

/// One payout of a settlement whose row is locked.
pub(in crate::money) struct LockedPayout {
    pub(in crate::money) settlement: Settlement,
    pub(in crate::money) payout: Payout,
}

impl LockedPayout {
    /// Locks the settlement, then reads the payout: its status changes only under that lock. When it is due may change
    /// without it, once its account is confirmed ([`store::money::payout::release_waiting`]).
    pub(in crate::money) async fn take(
        unit: &mut UnitOfWork,
        id: PayoutId,
    ) -> Result<Option<Self>> {
        let Some(payout) = store::money::payout::find(unit.conn(), id).await? else {
            return Ok(None);
        };
        let settlement = store::money::settlement::lock(unit.conn(), payout.settlement_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("{id} has no settlement"))?;
        let payout = store::money::payout::find(unit.conn(), id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("{id} went away"))?;
        unit.refresh_now();
        Ok(Some(Self { settlement, payout }))
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            partner_id: self.payout.partner_id.as_deref(),
            settlement_id: Some(self.settlement.id),
            payout_id: Some(self.payout.id),
            ..Subject::of(self.settlement.merchant_id)
        }
    }

    /// Whether this name of a transfer is this payout's: it was never used, and belongs to it from now on, or it was
    /// used for it.
    pub(super) async fn own_reference(
        &self,
        unit: &mut UnitOfWork,
        bank_reference: &str,
    ) -> Result<bool> {
        let Some(partner_id) = self.payout.partner_id.as_deref() else {
            return Ok(true);
        };
        let owner =
            store::money::payout_reference::owner(unit.conn(), partner_id, bank_reference).await?;
        if let Some(owner) = owner {
            return Ok(owner == self.payout.id);
        }
        let (id, at) = (self.payout.id, unit.now());
        store::money::payout_reference::claim(unit.conn(), partner_id, bank_reference, id, at)
            .await?;
        Ok(true)
    }

    pub(super) async fn step(
        &mut self,
        unit: &mut UnitOfWork,
        to: PayoutStatus,
        postings: &[Posting],
        step: Step<'_>,
        cause: Cause<'_>,
    ) -> Result<()> {
        store::money::payout::set_status(unit.conn(), self.payout.id, step, cause).await?;
        for posting in postings {
            ledger::post(unit, self.subject(), posting).await?;
        }
        let before = json!({ "status": self.payout.status, "settlement_id": self.settlement.id });
        let after = json!({ "status": to, "cause": cause.cause, "bank_reference": step.bank_reference, "reason": step.reason });
        unit.audit("payout.step", self.payout.id, Some(before), Some(after))
            .await?;
        self.payout.status = to;
        if let Some(reference) = step.bank_reference {
            self.payout.bank_reference = Some(reference.to_owned());
        }
        let shown = store::money::settlement::Shown {
            status: to.settlement(),
            bank_reference: self.payout.bank_reference.as_deref(),
            status_reason: step.reason,
            at: unit.now(),
        };
        store::money::settlement::show(unit.conn(), self.settlement.id, shown).await?;
        Ok(())
    }

    /// pending → processing: from here on the partner may have been instructed.
    pub(super) async fn mark_processing(
        &mut self,
        unit: &mut UnitOfWork,
        due_at: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let sent = Posting::payout_sent(self.payout.amount).map_err(anyhow::Error::from)?;
        let step = Step {
            from: PayoutStatus::Pending,
            to: PayoutStatus::Processing,
            bank_reference: None,
            reason: None,
            due_at,
        };
        let cause = Cause {
            at: unit.now(),
            cause: "told",
            message: None,
        };
        self.step(unit, PayoutStatus::Processing, &[sent], step, cause)
            .await
    }

    /// Applies what the partner reported, by an answer or a callback.
    pub(in crate::money) async fn apply_outcome(
        &mut self,
        unit: &mut UnitOfWork,
        report: PartnerReport<'_>,
        cause: &str,
        message: Option<Message<'_>>,
    ) -> Result<Decision> {
        let status = self.payout.status;
        let is_own = match report.bank_reference {
            Some(reference) => self.own_reference(unit, reference).await?,
            None => true,
        };
        let view = PayoutView {
            status,
            bank_reference: self.payout.bank_reference.as_deref(),
            reference_is_anothers: !is_own,
        };
        let decision = decide(view, report.outcome, report.bank_reference);
        if decision != Decision::Becomes(report.outcome) {
            return Ok(decision);
        }
        let postings =
            postings(status, report.outcome, self.payout.amount).map_err(anyhow::Error::from)?;
        let step = Step {
            from: status,
            to: report.outcome.status(),
            bank_reference: report.bank_reference,
            reason: report.reason,
            due_at: None,
        };
        let cause = Cause {
            at: unit.now(),
            cause,
            message,
        };
        self.step(unit, report.outcome.status(), &postings, step, cause)
            .await?;
        Ok(decision)
    }
}

/// What a partner, or the person who paid by hand, reports of a payout.
#[derive(Debug, Clone, Copy)]
pub(in crate::money) struct PartnerReport<'a> {
    /// How it ended.
    pub(in crate::money) outcome: PayoutOutcome,
    /// The bank's name for the transfer.
    pub(in crate::money) bank_reference: Option<&'a str>,
    /// Why, when it was not paid.
    pub(in crate::money) reason: Option<&'a str>,
}
