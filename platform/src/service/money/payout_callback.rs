//! The payout partner's callbacks: what became of a payout, signed for this route alone.
//!
//! As with payments, the signature is checked on the raw bytes before anything is parsed, what fails is kept as
//! rejected and has no effect, and a callback is answered 2xx only after the commit that holds it and what it did.

use chrono::{DateTime, Utc};
use domain::callback::CallbackError;
use domain::partner_signature::{self, SignatureError};
use domain::payout::{Decision, PayoutCallback};
use domain::settlement::SettlementStatus;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wire::ids::{CallbackId, IncidentId, PayoutId, SettlementId};

use super::payout::Held;
use crate::service::payment::callback::{Incoming, rejected};
use crate::service::{Actor, Context, Error, Noun, Result, Unit};
use crate::store;
use crate::store::money::payout::Message;

/// The route of payout callbacks.
const ROUTE: &str = "bank/payout-callback";

/// What became of a callback that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PayoutReceipt)]
pub struct Receipt {
    /// accepted, duplicate, or ignored because it contradicts what was said before.
    pub verdict: &'static str,
    /// The settlement it is about.
    pub settlement_id: SettlementId,
    /// The payout of it.
    pub payout_id: PayoutId,
    /// Where the settlement stands now.
    pub status: SettlementStatus,
}

/// Takes one callback.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`], a body that does not read: kept as rejected, no effect.
/// A settlement that is not this partner's to pay, another amount, an event id that was used for something else: kept
/// with an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    let received_at = context.clock().now();
    if let Err(error) = verify(context, &incoming, received_at) {
        count("rejected");
        rejected::keep_unverified(context, &incoming, received_at, &error).await;
        return Err(error);
    }
    let partner_id = incoming.partner_id.clone().unwrap_or_default();
    let callback = match parse(&incoming.body) {
        Ok(callback) => callback,
        Err(error) => {
            count("rejected");
            let (reason, status) = (error.to_string(), error.code().status());
            rejected::keep_verified(
                context,
                &incoming,
                &partner_id,
                received_at,
                "rejected",
                &reason,
                status,
            )
            .await?;
            return Err(error);
        }
    };
    let mut unit = context
        .begin(Actor {
            name: partner_id.clone(),
            request_id: incoming.request_id.clone(),
        })
        .await?;
    let reception = Reception {
        id: CallbackId::from_uuid(unit.uuid()),
        partner_id: &partner_id,
        incoming: &incoming,
        callback: &callback,
        received_at,
    };
    let verdict = reception.judge(&mut unit).await?;
    unit.commit().await?;
    let name = verdict
        .as_ref()
        .map_or("incident", |receipt| receipt.verdict);
    count(name);
    verdict
}

fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
    let partner = incoming
        .partner_id
        .as_deref()
        .and_then(|id| context.payout_partner(id));
    let secrets = partner
        .map(|partner| partner.secrets.as_slice())
        .unwrap_or_default();
    partner_signature::verify(
        secrets,
        incoming.timestamp.as_deref(),
        incoming.signature.as_deref(),
        &incoming.body,
        now,
        context.settings().timestamp_tolerance,
    )
    .map_err(|error| match error {
        SignatureError::StaleTimestamp => Error::StaleTimestamp,
        _ => Error::InvalidSignature("the partner or its signature is not known"),
    })
}

fn parse(body: &[u8]) -> Result<PayoutCallback> {
    PayoutCallback::parse(body).map_err(|error| match error {
        CallbackError::Malformed => Error::Malformed("the body is not JSON".into()),
        CallbackError::Invalid(fields) => Error::Validation(fields),
        CallbackError::Amount(message) => Error::InvalidAmount(message),
    })
}

fn count(verdict: &'static str) {
    metrics::counter!("payout_callbacks_total", "verdict" => verdict).increment(1);
}

/// A verified callback on its way through the transaction.
struct Reception<'a> {
    id: CallbackId,
    partner_id: &'a str,
    incoming: &'a Incoming,
    callback: &'a PayoutCallback,
    received_at: DateTime<Utc>,
}

impl Reception<'_> {
    /// What is answered after the commit: the outer error ends the transaction, the inner one is kept with it.
    async fn judge(&self, unit: &mut Unit) -> Result<Result<Receipt>> {
        let Some(mut held) = self.find(unit).await? else {
            let error = Error::NotFound(Noun::Settlement);
            return self.refuse(unit, "unknown_settlement", error).await;
        };
        let (settlement_id, payout_id) = (held.settlement.id, held.payout.id);
        if let Some(before) =
            store::money::payout::said(unit.conn(), self.partner_id, &self.callback.event_id)
                .await?
        {
            // Without a payout's id it is about the payout that it was first about, whatever was made since.
            let first: PayoutId =
                serde_json::from_value(before["payout_id"].clone()).map_err(anyhow::Error::from)?;
            if before != self.said(first) || self.callback.payout_id.is_some_and(|id| id != first) {
                let error = Error::Duplicate {
                    message: "this event_id was used for something else".into(),
                    retry_after_s: None,
                };
                return self.refuse(unit, "payout_event_reused", error).await;
            }
            return self
                .take(unit, settlement_id, first, "duplicate")
                .await
                .map(Ok);
        }
        let said = self.said(payout_id);
        if self.callback.amount != held.payout.amount {
            let error = Error::InvalidState {
                current: held.settlement.status,
                message: "the amount is not the payout's".into(),
            };
            return self.refuse(unit, "payout_amount_mismatch", error).await;
        }
        let message = Message {
            callback_id: self.id,
            partner_id: self.partner_id,
            event_id: &self.callback.event_id,
            said: &said,
        };
        let decision = held
            .said(
                unit,
                self.callback.outcome,
                self.callback.bank_reference.as_deref(),
                None,
                "callback",
                Some(message),
            )
            .await?;
        let verdict = match decision {
            Decision::Becomes(_) => "accepted",
            Decision::Duplicate => "duplicate",
            Decision::Contradiction => {
                self.keep(unit, "ignored", Some("contradicts_payout"), 200)
                    .await?;
                self.incident(unit, "contradicts_payout").await?;
                return self
                    .receipt(unit, settlement_id, payout_id, "ignored")
                    .await
                    .map(Ok);
            }
        };
        self.take(unit, settlement_id, payout_id, verdict)
            .await
            .map(Ok)
    }

    /// The payout that is spoken of, if it is this partner's.
    async fn find(&self, unit: &mut Unit) -> Result<Option<Held>> {
        // Locked first, so that the newest is the newest until this is over.
        let settlement = [self.callback.settlement_id];
        store::money::settlement::lock(unit.conn(), self.callback.settlement_id).await?;
        let mut payouts = store::money::payout::of_settlements(unit.conn(), &settlement).await?;
        payouts.retain(|payout| {
            payout.partner_id.as_deref() == Some(self.partner_id)
                && self.callback.payout_id.is_none_or(|id| id == payout.id)
        });
        match payouts.pop() {
            Some(payout) => Held::take(unit, payout.id).await,
            None => Ok(None),
        }
    }

    fn said(&self, payout_id: PayoutId) -> Value {
        json!({
            "settlement_id": self.callback.settlement_id,
            "payout_id": payout_id,
            "status": self.callback.outcome,
            "amount": self.callback.amount,
            "bank_reference": self.callback.bank_reference,
            "occurred_at": self.callback.occurred_at,
        })
    }

    async fn take(
        &self,
        unit: &mut Unit,
        settlement_id: SettlementId,
        payout_id: PayoutId,
        verdict: &'static str,
    ) -> Result<Receipt> {
        self.keep(unit, verdict, None, 200).await?;
        self.receipt(unit, settlement_id, payout_id, verdict).await
    }

    async fn receipt(
        &self,
        unit: &mut Unit,
        settlement_id: SettlementId,
        payout_id: PayoutId,
        verdict: &'static str,
    ) -> Result<Receipt> {
        let settlement = store::money::settlement::lock(unit.conn(), settlement_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("{settlement_id} went away"))?;
        Ok(Receipt {
            verdict,
            settlement_id,
            payout_id,
            status: settlement.status.parse().map_err(anyhow::Error::from)?,
        })
    }

    async fn refuse(&self, unit: &mut Unit, kind: &str, error: Error) -> Result<Result<Receipt>> {
        self.keep(unit, "incident", Some(kind), error.code().status())
            .await?;
        self.incident(unit, kind).await?;
        Ok(Err(error))
    }

    async fn keep(
        &self,
        unit: &mut Unit,
        verdict: &str,
        reason: Option<&str>,
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
            partner_reference: self.callback.bank_reference.as_deref(),
            transaction_id: None,
        };
        store::payment::callback::insert(unit.conn(), &callback).await?;
        Ok(())
    }

    async fn incident(&self, unit: &mut Unit, kind: &str) -> Result<()> {
        let incident = store::payment::incident::NewIncident {
            id: IncidentId::from_uuid(unit.uuid()),
            kind,
            partner_id: self.partner_id,
            transaction_id: None,
            partner_reference: None,
            callback_id: self.id,
            details: json!({
                "event_id": self.callback.event_id,
                "settlement_id": self.callback.settlement_id,
                "payout_id": self.callback.payout_id,
                "status": self.callback.outcome,
                "amount": self.callback.amount,
                "bank_reference": self.callback.bank_reference,
            }),
            created_at: unit.now(),
        };
        crate::service::payment::incident::open(unit, &incident).await
    }
}
