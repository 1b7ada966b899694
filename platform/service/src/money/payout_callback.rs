//! The payout partner's callbacks: what became of a payout, signed for this route alone.
//!
//! It is verified, archived and answered like a payment's (`payment::callback::receiver`).
//!
//! Every event_id that was answered is remembered with its answer: the same message again gets the same answer and has
//! no effect, whatever happened since. One that was accepted keeps its event_id; one that was refused does not. Locks are
//! taken in this order: the event_id, the settlement, the bank reference.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::payout::{Decision, PayoutOutcome, PayoutStatus, bank_time};
use domain::payout_callback::PayoutCallback;
use domain::settlement::SettlementStatus;
use serde::Serialize;
use serde_json::{Value, json};
use store::money::payout::Message;
use store::money::payout_message::PayoutMessage;
use utoipa::ToSchema;
use wire::ids::{PayoutId, SettlementId};

use super::payout::{LockedPayout, PartnerReport};
use crate::payment::callback::receiver::{
    self, NamedOrder, Profile, Unreadable, unreadable, verify_hmac,
};
use crate::payment::callback::verified::{Entry, Verified};
use crate::payment::callback::{Incoming, count_adjustments};
use crate::{Context, Error, Noun, Result, UnitOfWork};

/// What became of a callback that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PayoutReceipt)]
pub struct Receipt {
    /// `accepted`; `duplicate`; `ignored`, because it contradicts what was said before; `held`, because its bank
    /// reference belongs to another payout, or because it names no payout and may be about several.
    pub verdict: &'static str,
    /// The settlement it is about.
    pub settlement_id: SettlementId,
    /// The payout of it.
    pub payout_id: PayoutId,
    /// Where the settlement stands now.
    pub status: SettlementStatus,
}

/// Receives one callback.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`]: kept as rejected, no effect. A body that does not read, a
/// settlement that is not this partner's to pay, another amount, an event id that was used for something else: kept with
/// an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    receiver::receive::<Payouts>(context, &Arc::new(incoming)).await?
}

struct Payouts;

impl Profile for Payouts {
    type Message = PayoutCallback;
    type Answer = Result<Receipt>;
    type Refusal = Error;
    const COUNTER: &'static str = "payout_callbacks_total";
    const UNREADABLE: Unreadable = Unreadable {
        incident: "unreadable_payout_message",
        verdict: "unreadable",
        is_raised: false,
    };

    async fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
        let partner = incoming
            .partner_id
            .as_deref()
            .and_then(|id| context.payout_partner(id));
        let secrets = partner
            .map(|partner| partner.secrets.as_slice())
            .unwrap_or_default();
        verify_hmac(context, secrets, incoming, now)
    }

    fn read(
        _context: &Context,
        incoming: &Incoming,
        _order: Option<&NamedOrder>,
    ) -> Result<PayoutCallback> {
        let callback = PayoutCallback::parse(&incoming.body).map_err(unreadable)?;
        count_adjustments(&callback.adjustments);
        Ok(callback)
    }

    async fn apply(
        unit: &mut UnitOfWork,
        verified: &Verified<'_>,
        callback: &PayoutCallback,
    ) -> Result<(&'static str, Result<Receipt>)> {
        let handler = PayoutCallbackHandler { verified, callback };
        let answer = handler.apply(unit).await?;
        let verdict = answer
            .as_ref()
            .map_or("incident", |receipt| receipt.verdict);
        Ok((verdict, answer))
    }
}

/// A verified callback on its way through the transaction.
struct PayoutCallbackHandler<'a> {
    verified: &'a Verified<'a>,
    callback: &'a PayoutCallback,
}

/// The payout that a message is understood to be about.
struct Found {
    locked: LockedPayout,
    /// Why it is not certain that it is about this one.
    doubt: Option<&'static str>,
}

impl PayoutCallbackHandler<'_> {
    /// What is answered after the commit: the outer error ends the transaction, the inner one is kept with it.
    async fn apply(&self, unit: &mut UnitOfWork) -> Result<Result<Receipt>> {
        let event_id = &self.callback.event_id;
        store::money::payout_message::lock(unit.conn(), self.verified.partner_id, event_id).await?;
        let before =
            store::money::payout_message::find(unit.conn(), self.verified.partner_id, event_id)
                .await?;
        // A message that was refused had no effect; its event_id may be used again.
        if let Some(before) = before
            && (before.verdict != "incident" || before.content == self.content(before.payout_id))
        {
            return self.repeat(unit, before).await;
        }
        let Some(Found { mut locked, doubt }) = self.find(unit).await? else {
            return self.refuse(unit, UNKNOWN_SETTLEMENT, None).await;
        };
        if self.callback.amount != locked.payout.amount {
            return self.refuse(unit, AMOUNT_MISMATCH, Some(&locked)).await;
        }
        if let Some(doubt) = doubt {
            return self.put_aside(unit, "held", doubt, &locked).await;
        }
        let time = bank_time(self.callback.occurred_at, unit.now());
        let content = self.content(Some(locked.payout.id));
        let message = Message {
            callback_id: self.verified.id,
            partner_id: self.verified.partner_id,
            event_id,
            content: &content,
            occurred_at: time.at,
        };
        let report = PartnerReport {
            outcome: self.callback.outcome,
            bank_reference: self.callback.bank_reference.as_deref(),
            reason: None,
        };
        let decision = locked
            .apply_outcome(unit, report, "callback", Some(message))
            .await?;
        let verdict = match decision {
            Decision::Becomes(_) => "accepted",
            Decision::Duplicate => "duplicate",
            Decision::Contradiction => {
                let reason = "contradicts_payout";
                return self.put_aside(unit, "ignored", reason, &locked).await;
            }
            Decision::ReferenceOfAnother => {
                let reason = "bank_reference_reused";
                return self.put_aside(unit, "held", reason, &locked).await;
            }
        };
        self.keep(unit, verdict, None, 200).await?;
        if time.is_far_off {
            self.incident(unit, "payout_clock_far_off").await?;
        }
        self.remember(unit, verdict, None, Some(locked.payout.id))
            .await?;
        self.receipt(unit, &locked, verdict).await.map(Ok)
    }

    /// A message whose event_id was answered before: the same gets the same answer, without effect.
    async fn repeat(
        &self,
        unit: &mut UnitOfWork,
        before: PayoutMessage,
    ) -> Result<Result<Receipt>> {
        let names_another = self
            .callback
            .payout_id
            .is_some_and(|id| before.payout_id.is_some_and(|first| first != id));
        if before.content != self.content(before.payout_id) || names_another {
            let error = Error::duplicate("this event_id was used for something else");
            let (kind, status) = ("payout_event_reused", error.code().status());
            self.keep(unit, "incident", Some(kind), status).await?;
            self.incident(unit, kind).await?;
            return Ok(Err(error));
        }
        let locked = match before.payout_id {
            Some(id) => LockedPayout::take(unit, id).await?,
            None => None,
        };
        let reason = before.reason.as_deref();
        if let Some(error) = refusal(reason.unwrap_or_default(), locked.as_ref()) {
            self.keep(unit, "duplicate", reason, error.code().status())
                .await?;
            return Ok(Err(error));
        }
        let locked =
            locked.ok_or_else(|| anyhow::anyhow!("an answered message without its payout"))?;
        let verdict = match before.verdict.as_str() {
            "ignored" => "ignored",
            "held" => "held",
            _ => "duplicate",
        };
        self.keep(unit, "duplicate", reason, 200).await?;
        self.receipt(unit, &locked, verdict).await.map(Ok)
    }

    /// The payout that the message is about, if it is this partner's: the one with its `payout_id`, or the one that its
    /// bank reference belongs to, or else the settlement's newest.
    async fn find(&self, unit: &mut UnitOfWork) -> Result<Option<Found>> {
        // Locked first, so that the newest is the newest until this is over.
        let settlement = [self.callback.settlement_id];
        store::money::settlement::lock(unit.conn(), self.callback.settlement_id).await?;
        let mut payouts = store::money::payout::of_settlements(unit.conn(), &settlement).await?;
        payouts.retain(|payout| payout.partner_id.as_deref() == Some(self.verified.partner_id));
        let by_reference = match &self.callback.bank_reference {
            Some(reference) => store::money::payout_reference::owner(
                unit.conn(),
                self.verified.partner_id,
                reference,
            )
            .await?
            .and_then(|owner| payouts.iter().find(|payout| payout.id == owner)),
            None => None,
        };
        let (id, doubt) = match (self.callback.payout_id, by_reference, payouts.last()) {
            (Some(named), _, _) => match payouts.iter().find(|payout| payout.id == named) {
                Some(payout) => (payout.id, None),
                None => return Ok(None),
            },
            (None, Some(payout), _) => (payout.id, None),
            (None, None, Some(newest)) => {
                // One came back and was never reported as paid: this may be that report.
                let missed = payouts.iter().any(|payout| {
                    payout.id != newest.id
                        && payout.status == PayoutStatus::Returned
                        && payout.bank_reference.is_none()
                });
                let doubt = missed && self.callback.outcome == PayoutOutcome::Paid;
                (newest.id, doubt.then_some("payout_not_named"))
            }
            (None, None, None) => return Ok(None),
        };
        let locked = LockedPayout::take(unit, id).await?;
        Ok(locked.map(|locked| Found { locked, doubt }))
    }

    /// What decides of the message, understood to be about this payout.
    fn content(&self, payout_id: Option<PayoutId>) -> Value {
        json!({
            "settlement_id": self.callback.settlement_id,
            "payout_id": payout_id,
            "status": self.callback.outcome,
            "amount": self.callback.amount,
            "bank_reference": self.callback.bank_reference,
        })
    }

    async fn receipt(
        &self,
        unit: &mut UnitOfWork,
        locked: &LockedPayout,
        verdict: &'static str,
    ) -> Result<Receipt> {
        let settlement_id = locked.settlement.id;
        let settlement = store::money::settlement::lock(unit.conn(), settlement_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("{settlement_id} went away"))?;
        Ok(Receipt {
            verdict,
            settlement_id,
            payout_id: locked.payout.id,
            status: settlement.status,
        })
    }

    /// Archives a message that changes nothing, for people to look at.
    async fn put_aside(
        &self,
        unit: &mut UnitOfWork,
        verdict: &'static str,
        reason: &str,
        locked: &LockedPayout,
    ) -> Result<Result<Receipt>> {
        self.keep(unit, verdict, Some(reason), 200).await?;
        self.incident(unit, reason).await?;
        self.remember(unit, verdict, Some(reason), Some(locked.payout.id))
            .await?;
        self.receipt(unit, locked, verdict).await.map(Ok)
    }

    async fn refuse(
        &self,
        unit: &mut UnitOfWork,
        kind: &str,
        locked: Option<&LockedPayout>,
    ) -> Result<Result<Receipt>> {
        let error = refusal(kind, locked)
            .ok_or_else(|| anyhow::anyhow!("{kind} is no reason to refuse a message"))?;
        self.keep(unit, "incident", Some(kind), error.code().status())
            .await?;
        self.incident(unit, kind).await?;
        self.remember(
            unit,
            "incident",
            Some(kind),
            locked.map(|locked| locked.payout.id),
        )
        .await?;
        Ok(Err(error))
    }

    async fn remember(
        &self,
        unit: &mut UnitOfWork,
        verdict: &str,
        reason: Option<&str>,
        payout_id: Option<PayoutId>,
    ) -> Result<()> {
        let message = PayoutMessage {
            payout_id,
            content: self.content(payout_id),
            verdict: verdict.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let (now, event_id) = (unit.now(), &self.callback.event_id);
        store::money::payout_message::insert(
            unit.conn(),
            self.verified.partner_id,
            event_id,
            &message,
            now,
        )
        .await?;
        Ok(())
    }

    async fn keep(
        &self,
        unit: &mut UnitOfWork,
        verdict: &str,
        reason: Option<&str>,
        http_status: u16,
    ) -> Result<()> {
        let entry = Entry {
            reason,
            partner_reference: self.callback.bank_reference.as_deref(),
            ..Entry::new(verdict, http_status)
        };
        self.verified.archive(unit.conn(), entry).await
    }

    async fn incident(&self, unit: &mut UnitOfWork, kind: &str) -> Result<()> {
        let details = json!({
            "event_id": self.callback.event_id,
            "settlement_id": self.callback.settlement_id,
            "payout_id": self.callback.payout_id,
            "status": self.callback.outcome,
            "amount": self.callback.amount,
            "bank_reference": self.callback.bank_reference,
            "occurred_at": self.callback.occurred_at,
        });
        self.verified
            .incident(unit, kind, None, None, details)
            .await
    }
}

/// The settlement is not there, or not this partner's to pay.
const UNKNOWN_SETTLEMENT: &str = "unknown_settlement";
/// The message names another amount than the payout's.
const AMOUNT_MISMATCH: &str = "payout_amount_mismatch";

/// How a message that is refused for `reason` is answered, the first time and again.
fn refusal(reason: &str, locked: Option<&LockedPayout>) -> Option<Error> {
    match reason {
        UNKNOWN_SETTLEMENT => Some(Error::NotFound(Noun::Settlement)),
        AMOUNT_MISMATCH => Some(Error::InvalidState {
            current: locked.map_or_else(String::new, |locked| locked.settlement.status.to_string()),
            message: "the amount is not the payout's".into(),
        }),
        _ => None,
    }
}
