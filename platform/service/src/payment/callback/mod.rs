//! The acquirer's callbacks: from verified bytes to money and announcements, in one commit.
//!
//! The order is fixed. The signature is checked on the raw bytes before anything is parsed; what fails
//! is kept as a rejected callback and has no effect. A verified callback is kept, judged by
//! [`domain::transaction::decide`], and its consequences (transition, ledger lines, outbox rows) are
//! written in the same transaction as the callback itself; only after that commit is it answered 2xx. When they
//! cannot be written through a fault of ours, the callback is kept by itself, and the partner is told to repeat it.
//!
//! Two profiles come to the same judgement: `hmac` here, [`snap`] beside; and so does what a partner answers when it
//! is asked ([`query`]).

pub mod archive;
mod attribution;
pub(super) mod consequence;
mod judgement;
pub mod query;
mod record;
pub(crate) mod refused;
pub(crate) mod rejected;
pub mod rejected_budget;
pub mod snap;

use std::net::IpAddr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackError};
use domain::partner_message::Adjustment;
use domain::partner_signature::{self, SignatureError};
use domain::transaction::TransactionStatus;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::ids::{CallbackId, TransactionId};

use self::judgement::{CallbackHandler, CallbackOutcome, Message};
use self::refused::keep_unreadable;
use self::rejected::{keep_failed, keep_unverified};
use crate::retry::retried;
use crate::{Actor, Context, Error, Partner, Result};

/// A callback as it came.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The path it came on, with its query, as a SNAP partner signs it.
    pub path: String,
    /// `X-Partner-Id`.
    pub partner_id: Option<String>,
    /// `X-Partner-Timestamp`.
    pub timestamp: Option<String>,
    /// `X-Partner-Signature`.
    pub signature: Option<String>,
    /// What a SNAP partner proves itself with.
    pub snap: SnapProof,
    /// The headers worth keeping, without credentials.
    pub headers: Value,
    /// The raw body.
    pub body: Bytes,
    /// The HTTP request's id.
    pub request_id: Option<String>,
    /// The network that it came from; none behind a proxy.
    pub address: Option<IpAddr>,
}

impl Incoming {
    /// What the archive calls the path: without the query.
    pub(crate) fn route(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.trim_start_matches("/integrations/")
            .trim_start_matches('/')
    }
}

/// The headers of a SNAP notification.
#[derive(Debug, Default)]
pub struct SnapProof {
    /// `X-TIMESTAMP`.
    pub timestamp: Option<String>,
    /// `X-SIGNATURE`.
    pub signature: Option<String>,
    /// `Authorization: Bearer …`, without the word.
    pub token: Option<String>,
    /// `X-EXTERNAL-ID`.
    pub external_id: Option<String>,
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

/// Whether this partner speaks SNAP, and is to be answered so.
pub fn speaks_snap(context: &Context, partner_id: Option<&str>) -> bool {
    matches!(
        partner_id.and_then(|id| context.qris_partner(id)),
        Some(Partner::Snap(_))
    )
}

/// Takes one callback of profile `hmac`.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`], a body that does not read: kept as rejected, no effect.
/// A transaction that does not exist, another amount or merchant: kept with an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    let received_at = context.clock().now();
    if let Err(error) = verify(context, &incoming, received_at) {
        count("rejected");
        keep_unverified(context, &incoming, received_at, &error).await;
        return Err(error);
    }
    let partner_id = incoming.partner_id.clone().unwrap_or_default();
    let callback = match parse(&incoming.body) {
        Ok(callback) => callback,
        Err(error) => {
            keep_unreadable(context, &incoming, &partner_id, received_at, &error).await?;
            return Err(error);
        }
    };
    let take = || take(context, &partner_id, &incoming, &callback, received_at);
    match retried(take).await {
        Ok(CallbackOutcome::Taken(receipt)) => Ok(receipt),
        Ok(CallbackOutcome::Refused(error)) => Err(error),
        Err(error) => {
            keep_failed(context, &incoming, &partner_id, received_at, &error).await;
            Err(error)
        }
    }
}

async fn take(
    context: &Context,
    partner_id: &str,
    incoming: &Incoming,
    callback: &Callback,
    received_at: DateTime<Utc>,
) -> Result<CallbackOutcome> {
    let actor = Actor {
        name: partner_id.to_owned(),
        request_id: incoming.request_id.clone(),
    };
    let mut unit = context.begin(actor).await?;
    let id = CallbackId::from_uuid(unit.uuid());
    let message = Message::of(incoming);
    let handler = CallbackHandler::new(&unit, id, partner_id, message, callback, received_at);
    let verdict = handler.apply(&mut unit).await?;
    unit.commit().await?;
    count(verdict.name());
    Ok(verdict)
}

/// Counts the fields of a verified message that were cut or dropped.
pub(crate) fn count_adjustments(adjustments: &[Adjustment]) {
    for adjustment in adjustments {
        metrics::counter!(
            "callback_fields_adjusted_total",
            "field" => adjustment.field, "change" => adjustment.change.as_str()
        )
        .increment(1);
    }
}

fn count(verdict: &'static str) {
    metrics::counter!("callbacks_total", "verdict" => verdict).increment(1);
}

fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
    let partner = incoming
        .partner_id
        .as_deref()
        .and_then(|id| context.qris_partner(id));
    let secrets = match partner {
        Some(Partner::Hmac { secrets }) => secrets.as_slice(),
        Some(Partner::Snap(_)) | None => &[],
    };
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
    .map_err(untrusted)
}

fn untrusted(error: SignatureError) -> Error {
    match error {
        SignatureError::StaleTimestamp => Error::StaleTimestamp,
        _ => Error::InvalidSignature("the partner or its signature is not known"),
    }
}

fn parse(body: &[u8]) -> Result<Callback> {
    Callback::parse(body).map_err(|error| match error {
        CallbackError::Malformed => Error::Malformed("the body is not JSON".into()),
        CallbackError::Invalid(fields) => Error::Validation(fields),
        CallbackError::Amount(message) => Error::InvalidAmount(message),
    })
}
