//! How every signed message of a partner is received, whatever it is about.
//!
//! The signature is checked on the raw bytes before anything is parsed; what fails is kept as a rejected message and has
//! no effect. A verified message of which something that decides cannot be read is archived with an incident. Any other
//! is archived and applied in one transaction, and answered only after that commit. When they cannot be written through a
//! fault of ours, the message is archived by itself, and the answer says that the partner is to repeat it.

use std::borrow::Borrow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::callback::CallbackError;
use domain::dialect::KnownOrder;
use domain::partner_signature::{self, PartnerSecret, SignatureError};
use serde_json::json;
use wire::ids::{CallbackId, TransactionId};

use super::Incoming;
use super::rejected::keep_unverified;
use super::verified::{Entry, Verified};
use crate::retry::retried;
use crate::{Actor, Context, Error, Result, UnitOfWork, partition};

/// A form in which partners sign their messages, and what such a message means.
pub(crate) trait Profile {
    /// A message as it is read.
    type Message: Send + Sync;
    /// How a message that was applied is answered.
    type Answer: Send;
    /// Why a message is refused.
    type Refusal: From<Error> + Borrow<Error> + Send + Sync;
    /// The metric that counts its messages by verdict.
    const COUNTER: &'static str;
    /// What becomes of a verified message that cannot be read.
    const UNREADABLE: Unreadable;

    /// Checks who sent it, on its bytes as they came.
    ///
    /// # Errors
    /// [`Error::InvalidSignature`], [`Error::StaleTimestamp`].
    fn verify(
        context: &Context,
        incoming: &Incoming,
        now: DateTime<Utc>,
    ) -> impl Future<Output = std::result::Result<(), Self::Refusal>> + Send;

    /// The transaction that a verified message names by a name which only the database can explain.
    ///
    /// # Errors
    /// The database's.
    fn look_up(
        _context: &Context,
        _incoming: &Incoming,
    ) -> impl Future<Output = Result<Option<NamedOrder>>> + Send {
        std::future::ready(Ok(None))
    }

    /// Reads a verified message, perhaps about an order that was looked up.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(
        context: &Context,
        incoming: &Incoming,
        order: Option<&NamedOrder>,
    ) -> std::result::Result<Self::Message, Self::Refusal>;

    /// Does what [`Profile::apply`] does together with other messages that arrive at the same time, and commits it. None: the
    /// message is to be applied alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    fn apply_together(
        _context: &Context,
        _arrival: &Arrival,
        _message: &Self::Message,
    ) -> impl Future<Output = Result<Option<(&'static str, Self::Answer)>>> + Send {
        std::future::ready(Ok(None))
    }

    /// Archives the message and carries out what it means, in the caller's transaction. Returns the verdict too.
    fn apply(
        unit: &mut UnitOfWork,
        verified: &Verified<'_>,
        message: &Self::Message,
    ) -> impl Future<Output = Result<(&'static str, Self::Answer)>> + Send;
}

/// An order that was looked up by its name.
pub(crate) struct NamedOrder {
    pub(crate) name: String,
    pub(crate) id: TransactionId,
}

impl NamedOrder {
    pub(crate) fn as_known(&self) -> KnownOrder<'_> {
        KnownOrder {
            name: &self.name,
            id: self.id,
        }
    }
}

/// What becomes of a verified message that cannot be read.
pub(crate) struct Unreadable {
    /// The kind of its incident.
    pub(crate) incident: &'static str,
    /// What it is counted as.
    pub(crate) verdict: &'static str,
    /// Whether [`Verified::rejected`] is raised, beside the alert of the incident.
    pub(crate) is_raised: bool,
}

/// A message that came, and when.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(super) incoming: Arc<Incoming>,
    received_at: DateTime<Utc>,
    /// When its signature was checked and its body read.
    verified_at: DateTime<Utc>,
}

impl Arrival {
    /// The message, once its signature was checked.
    pub(super) fn verified(&self, id: CallbackId) -> Verified<'_> {
        Verified {
            id,
            partner_id: self.incoming.partner_id.as_deref().unwrap_or_default(),
            route: self.incoming.route(),
            headers: &self.incoming.kept_headers,
            body: &self.incoming.body,
            received_at: self.received_at,
            verified_at: self.verified_at,
        }
    }
}

/// Receives one message.
///
/// # Errors
/// Those of [`Profile::verify`] and [`Profile::read`]; of the database, and then the partner is to repeat it.
pub(crate) async fn receive<P: Profile>(
    context: &Context,
    incoming: &Arc<Incoming>,
) -> std::result::Result<P::Answer, P::Refusal> {
    let received_at = context.clock().now();
    if let Err(refusal) = P::verify(context, incoming, received_at).await {
        let error = refusal.borrow();
        if matches!(error, Error::InvalidSignature(_) | Error::StaleTimestamp) {
            count(P::COUNTER, "rejected");
            keep_unverified(context, incoming, received_at, error).await;
        }
        return Err(refusal);
    }
    let order = retried(|| P::look_up(context, incoming)).await;
    let message = order.map(|order| P::read(context, incoming, order.as_ref()));
    let arrival = Arrival {
        incoming: Arc::clone(incoming),
        received_at,
        verified_at: context.clock().now(),
    };
    let message = match message {
        Ok(message) => message,
        Err(error) => {
            keep_failed::<P>(context, &arrival, &error).await;
            return Err(error.into());
        }
    };
    let message = match message {
        Ok(message) => message,
        Err(refusal) => {
            keep_unreadable::<P>(context, &arrival, refusal.borrow()).await?;
            return Err(refusal);
        }
    };
    let together = P::apply_together(context, &arrival, &message).await?;
    if let Some((verdict, answer)) = together {
        count(P::COUNTER, verdict);
        return Ok(answer);
    }
    match retried(|| take::<P>(context, &arrival, &message)).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            keep_failed::<P>(context, &arrival, &error).await;
            Err(error.into())
        }
    }
}

async fn take<P: Profile>(
    context: &Context,
    arrival: &Arrival,
    message: &P::Message,
) -> Result<P::Answer> {
    let mut unit = context.begin(actor(&arrival.incoming)).await?;
    let verified = arrival.verified(CallbackId::from_uuid(unit.uuid()));
    let (verdict, answer) = P::apply(&mut unit, &verified, message).await?;
    unit.commit().await?;
    count(P::COUNTER, verdict);
    Ok(answer)
}

/// Archives a verified message of which something that decides cannot be read, with an incident that lists what is wrong
/// with it.
async fn keep_unreadable<P: Profile>(
    context: &Context,
    arrival: &Arrival,
    error: &Error,
) -> Result<()> {
    let mut unit = context.begin(actor(&arrival.incoming)).await?;
    let verified = arrival.verified(CallbackId::from_uuid(unit.uuid()));
    let reason = error.to_string();
    let entry = Entry {
        reason: Some(&reason),
        ..Entry::new("rejected", error.code().status())
    };
    verified.archive(unit.conn(), entry).await?;
    let fields = match error {
        Error::Validation(fields) => json!(fields),
        _ => json!([]),
    };
    let details = json!({ "reason": reason, "fields": fields });
    verified
        .incident(&mut unit, P::UNREADABLE.incident, None, None, details)
        .await?;
    if P::UNREADABLE.is_raised {
        unit.raise(verified.rejected(P::UNREADABLE.incident));
    }
    unit.commit().await?;
    count(P::COUNTER, P::UNREADABLE.verdict);
    Ok(())
}

/// Archives a verified message whose consequences could not be written: the partner will repeat it, but if it does not,
/// the archive has it. When the database is away this fails too, and the log has it.
async fn keep_failed<P: Profile>(context: &Context, arrival: &Arrival, error: &Error) {
    count(P::COUNTER, "failed");
    let verified = arrival.verified(CallbackId::from_uuid(context.clock().uuid()));
    let entry = Entry {
        reason: Some("internal"),
        ..Entry::new("failed", error.code().status())
    };
    let archive = async {
        partition::ensure_today(context).await?;
        let mut conn = context.pool().acquire().await?;
        verified.archive(&mut conn, entry).await
    };
    if let Err(archive) = archive.await {
        let partner_id = verified.partner_id;
        tracing::error!(partner_id, %error, %archive, "a verified callback could neither be taken nor kept");
    }
}

fn actor(incoming: &Incoming) -> Actor {
    Actor {
        name: incoming.partner_id.clone().unwrap_or_default(),
        request_id: incoming.request_id.clone(),
    }
}

pub(super) fn count(counter: &'static str, verdict: &'static str) {
    metrics::counter!(counter, "verdict" => verdict).increment(1);
}

/// Verifies a message that is signed with one of these secrets of its partner.
///
/// # Errors
/// [`Error::InvalidSignature`], [`Error::StaleTimestamp`].
pub(crate) fn verify_hmac(
    context: &Context,
    secrets: &[PartnerSecret],
    incoming: &Incoming,
    now: DateTime<Utc>,
) -> Result<()> {
    partner_signature::verify(
        secrets,
        incoming.headers.get(partner_signature::TIMESTAMP_HEADER),
        incoming.headers.get(partner_signature::SIGNATURE_HEADER),
        &incoming.body,
        now,
        context.settings().timestamp_tolerance,
    )
    .map(drop)
    .map_err(untrusted)
}

pub(super) fn untrusted(error: SignatureError) -> Error {
    match error {
        SignatureError::StaleTimestamp => Error::StaleTimestamp,
        _ => Error::InvalidSignature("the partner or its signature is not known"),
    }
}

/// What is wrong with a body that does not read.
pub(crate) fn unreadable(error: CallbackError) -> Error {
    match error {
        CallbackError::Malformed => Error::Malformed("the body is not JSON".into()),
        CallbackError::Invalid(fields) => Error::Validation(fields),
        CallbackError::Amount(message) => Error::InvalidAmount(message),
    }
}
