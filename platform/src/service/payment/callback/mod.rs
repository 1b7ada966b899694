//! The acquirer's callbacks: from verified bytes to money and announcements, in one commit.
//!
//! The order is fixed. The signature is checked on the raw bytes before anything is parsed; what fails
//! is kept as a rejected callback and has no effect. A verified callback is kept, judged by
//! [`domain::transaction::decide`], and its consequences (transition, ledger lines, outbox rows) are
//! written in the same transaction as the callback itself; only after that commit is it answered 2xx.

mod consequence;
mod judgement;
mod record;

use std::num::NonZeroU32;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackError};
use domain::partner_signature::{self, SignatureError};
use domain::transaction::TransactionStatus;
use governor::{DefaultDirectRateLimiter, Quota};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::ids::{CallbackId, TransactionId};

use self::judgement::{Reception, Verdict};
use crate::service::{Actor, Context, Error, Result};
use crate::store;

/// The route of QRIS callbacks.
const ROUTE: &str = "qris/callback";

/// How many rejected callbacks are kept: whoever sends rubbish must not fill the database.
pub struct RejectedBudget(DefaultDirectRateLimiter);

impl RejectedBudget {
    pub(crate) fn new(per_minute_max: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute_max).unwrap_or(NonZeroU32::MIN);
        Self(DefaultDirectRateLimiter::direct(Quota::per_minute(
            per_minute,
        )))
    }

    fn allows(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// A callback as it came.
#[derive(Debug)]
pub struct Incoming {
    /// `X-Partner-Id`.
    pub partner_id: Option<String>,
    /// `X-Partner-Timestamp`.
    pub timestamp: Option<String>,
    /// `X-Partner-Signature`.
    pub signature: Option<String>,
    /// The headers worth keeping, without credentials.
    pub headers: Value,
    /// The raw body.
    pub body: Bytes,
    /// The HTTP request's id.
    pub request_id: Option<String>,
}

/// What became of a callback that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallbackReceipt)]
pub struct Receipt {
    /// accepted, duplicate, unmatched, held or ignored.
    pub verdict: &'static str,
    /// The transaction it is about.
    pub transaction_id: Option<TransactionId>,
    /// Where that stands now.
    pub status: Option<TransactionStatus>,
}

/// Takes one callback.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`], a body that does not read: kept as rejected, no effect.
/// A transaction that does not exist, another amount or merchant: kept with an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    let received_at = context.clock().now();
    let verified = verify(context, &incoming, received_at);
    let callback = match verified.and_then(|()| parse(&incoming.body)) {
        Ok(callback) => callback,
        Err(error) => {
            keep_rejected(context, &incoming, received_at, &error).await?;
            return Err(error);
        }
    };
    let partner_id = incoming.partner_id.clone().unwrap_or_default();
    let actor = Actor {
        name: partner_id.clone(),
        request_id: incoming.request_id.clone(),
    };
    let mut unit = context.begin(actor).await?;
    let id = CallbackId::from_uuid(unit.uuid());
    let reception = Reception {
        id,
        partner_id: &partner_id,
        incoming: &incoming,
        callback: &callback,
        received_at,
    };
    store::payment::transaction::lock_reference(
        unit.conn(),
        &partner_id,
        &callback.partner_reference,
    )
    .await?;
    let verdict = reception.judge(&mut unit).await?;
    unit.commit().await?;
    metrics::counter!("callbacks_total", "verdict" => verdict.name()).increment(1);
    match verdict {
        Verdict::Taken(receipt) => Ok(receipt),
        Verdict::Refused(error) => Err(error),
    }
}

fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
    let partner = incoming
        .partner_id
        .as_deref()
        .and_then(|id| context.qris_partner(id));
    let secrets = partner
        .map(|partner| partner.secrets.as_slice())
        .unwrap_or_default();
    let timestamp = incoming.timestamp.as_deref();
    let tolerance = context.settings().timestamp_tolerance;
    partner_signature::verify(
        secrets,
        timestamp,
        incoming.signature.as_deref(),
        &incoming.body,
        now,
        tolerance,
    )
    .map_err(|error| match error {
        SignatureError::StaleTimestamp => Error::StaleTimestamp,
        _ => Error::InvalidSignature("the partner or its signature is not known"),
    })
}

fn parse(body: &[u8]) -> Result<Callback> {
    Callback::parse(body).map_err(|error| match error {
        CallbackError::Malformed => Error::Malformed("the body is not JSON".into()),
        CallbackError::Invalid(fields) => Error::Validation(fields),
        CallbackError::Amount(message) => Error::InvalidAmount(message),
    })
}

async fn keep_rejected(
    context: &Context,
    incoming: &Incoming,
    received_at: DateTime<Utc>,
    error: &Error,
) -> Result<()> {
    metrics::counter!("callbacks_total", "verdict" => "rejected").increment(1);
    if !context.rejected_budget().allows() {
        return Ok(());
    }
    let kept = &incoming.body[..incoming
        .body
        .len()
        .min(context.settings().rejected_bytes_max)];
    let callback = store::payment::callback::Callback {
        id: CallbackId::from_uuid(context.clock().uuid()),
        route: ROUTE,
        // An id that was not proven is a claim, and stays among the headers.
        partner_id: None,
        received_at,
        headers: &incoming.headers,
        body: kept,
        verdict: "rejected",
        reason: Some(&error.to_string()),
        http_status: error.code().status(),
        partner_reference: None,
        transaction_id: None,
    };
    let mut conn = context.pool().acquire().await?;
    store::payment::callback::insert(&mut conn, &callback).await?;
    Ok(())
}
