//! The acquirer's callbacks: from verified bytes to money and announcements, in one commit.
//!
//! `receiver` verifies a message, archives it and answers after the commit. What it means is judged by
//! [`domain::transaction::decide`], and its consequences (transition, ledger lines, outbox rows) are written in the same
//! transaction as the message itself.
//!
//! Two profiles come to the same judgement: `hmac` here, [`snap`] beside; and so does what a partner answers when it
//! is asked ([`query`]).

pub mod archive;
mod attribution;
pub mod batch;
pub(super) mod consequence;
mod judgement;
pub mod query;
pub(crate) mod receiver;
mod record;
mod rejected;
pub mod rejected_budget;
pub mod snap;
pub(crate) mod verified;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::callback::Callback;
use domain::partner_message::Adjustment;
use domain::transaction::TransactionStatus;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::ids::TransactionId;

use self::judgement::{CallbackHandler, CallbackOutcome};
use self::receiver::{Arrival, Profile, Unreadable, unreadable, verify_hmac};
use self::verified::Verified;
use crate::{Context, Error, Partner, Result, UnitOfWork};

/// The metric that counts what became of messages about payments.
const COUNTER: &str = "callbacks_total";
/// What becomes of one that cannot be read.
const UNREADABLE: Unreadable = Unreadable {
    incident: "unreadable_message",
    verdict: "rejected",
    is_raised: true,
};

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

/// Receives one callback of profile `hmac`.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`], a body that does not read: kept as rejected, no effect.
/// A transaction that does not exist, another amount or merchant: kept with an incident, no effect.
pub async fn receive(context: &Context, incoming: Incoming) -> Result<Receipt> {
    receiver::receive::<Hmac>(context, &Arc::new(incoming)).await?
}

struct Hmac;

impl Profile for Hmac {
    type Message = Callback;
    type Answer = Result<Receipt>;
    type Refusal = Error;
    const COUNTER: &'static str = COUNTER;
    const UNREADABLE: Unreadable = UNREADABLE;

    async fn verify(context: &Context, incoming: &Incoming, now: DateTime<Utc>) -> Result<()> {
        let partner = incoming
            .partner_id
            .as_deref()
            .and_then(|id| context.qris_partner(id));
        let secrets = match partner {
            Some(Partner::Hmac { secrets }) => secrets.as_slice(),
            Some(Partner::Snap(_)) | None => &[],
        };
        verify_hmac(context, secrets, incoming, now)
    }

    fn read(_context: &Context, incoming: &Incoming) -> Result<Callback> {
        let callback = Callback::parse(&incoming.body).map_err(unreadable)?;
        count_adjustments(&callback.adjustments);
        Ok(callback)
    }

    async fn apply_together(
        context: &Context,
        arrival: &Arrival,
        callback: &Callback,
    ) -> Result<Option<(&'static str, Result<Receipt>)>> {
        let receipt = context
            .payment_queue()
            .apply(arrival, callback, || None)
            .await?;
        Ok(receipt.map(|receipt| (receipt.verdict, Ok(receipt))))
    }

    async fn apply(
        unit: &mut UnitOfWork,
        verified: &Verified<'_>,
        callback: &Callback,
    ) -> Result<(&'static str, Result<Receipt>)> {
        let handler = CallbackHandler::new(unit, *verified, callback);
        let outcome = handler.apply(unit).await?;
        let verdict = outcome.name();
        let answer = match outcome {
            CallbackOutcome::Taken(receipt) => Ok(receipt),
            CallbackOutcome::Refused(error) => Err(error),
        };
        Ok((verdict, answer))
    }
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
