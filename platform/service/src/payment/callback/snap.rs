//! `qr-mpm-notify`: SNAP's callback.
//!
//! It is always answered in SNAP's own form: also what fails is one of the standard's cases, and the cause is in the log.
//! X-EXTERNAL-ID names a message once a day: the same message again gets the same answer, another one under its id is
//! refused.

use std::borrow::Borrow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackTarget, PaidAmount};
use domain::partner_signature::SignatureError;
use domain::snap::EXTERNAL_ID_LEN_MAX;
use domain::snap::answer::{Answer, Case, Service};
use domain::snap::minify::minify;
use domain::snap::notification::{Notification, NotificationError};
use domain::snap::signature::{Signed, timestamp_of, verify_time};
use serde_json::json;
use store::outage::Outage;
use store::payment::external_id::Answered;
use wire::ids::TransactionId;

use super::batch::Once;
use super::judgement::{CallbackHandler, CallbackOutcome};
use super::receiver::{self, Arrival, Profile, Unreadable, untrusted};
use super::verified::{Entry, Verified};
use super::{COUNTER, Incoming, UNREADABLE, count_adjustments};
use crate::{Context, Error, Noun, Partner, Result, SnapPartner, UnitOfWork, secret};

/// An answer in SNAP's form.
#[derive(Debug, Clone)]
pub struct SnapReply {
    /// The HTTP status.
    pub http_status: u16,
    /// The body.
    pub answer: Answer,
    /// What the database lacks, when that is the reason.
    pub outage: Option<Outage>,
}

impl SnapReply {
    fn of(case: &Case) -> Self {
        Self {
            http_status: case.status(),
            answer: case.answer(Service::Notify),
            outage: None,
        }
    }

    /// What is kept of it, so that the same message is answered the same.
    fn answered(&self, body: &[u8]) -> Answered {
        Answered {
            body_hash: secret::hash_bytes(&minify(body)),
            http_status: self.http_status,
            answer: json!(self.answer),
        }
    }

    /// Our fault, or the database's: to be repeated.
    fn failed(error: &Error) -> Self {
        let outage = error.outage();
        let case = match outage {
            Some(_) => Case::Unavailable,
            None => Case::GeneralError,
        };
        Self {
            outage,
            ..Self::of(&case)
        }
    }
}

/// Why a message is refused: how the partner is answered, and the error in the archive.
struct Refusal {
    case: Case,
    error: Error,
}

impl Refusal {
    fn new(case: Case, error: Error) -> Self {
        Self { case, error }
    }
}

impl Borrow<Error> for Refusal {
    fn borrow(&self) -> &Error {
        &self.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(Case::GeneralError, error)
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        let reason = match error {
            SignatureError::StaleTimestamp => "Timestamp",
            _ => "Signature",
        };
        Self::new(Case::Unauthorized(reason), untrusted(error))
    }
}

impl From<NotificationError> for Refusal {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Malformed => {
                let case = Case::InvalidFieldFormat("body".into());
                Self::new(
                    case,
                    Error::Malformed("the body is not a JSON object".into()),
                )
            }
            NotificationError::Missing(field) => Self::missing(field),
            NotificationError::Format(field) => Self::format(field),
        }
    }
}

impl Refusal {
    fn missing(field: &str) -> Self {
        let case = Case::InvalidMandatoryField(field.into());
        Self::new(case, Error::field(field, "is required"))
    }

    fn format(field: &str) -> Self {
        let case = Case::InvalidFieldFormat(field.into());
        Self::new(case, Error::field(field, "is not of its form"))
    }
}

/// Receives one notification.
pub async fn receive(context: &Context, incoming: Incoming) -> SnapReply {
    let incoming = Arc::new(incoming);
    match receiver::receive::<Snap>(context, &incoming).await {
        Ok(reply) => reply,
        Err(Refusal {
            case: Case::GeneralError,
            error,
        }) => {
            let partner_id = &incoming.partner_id;
            tracing::error!(partner_id, %error, "a SNAP notification could not be received");
            SnapReply::failed(&error)
        }
        Err(refusal) => SnapReply::of(&refusal.case),
    }
}

struct Snap;

/// A notification that was read.
struct Message {
    notification: Notification,
    /// None when nothing happened yet, or the status code means nothing.
    callback: Option<Callback>,
    is_pending: bool,
    external_id: String,
}

impl Profile for Snap {
    type Message = Message;
    type Answer = SnapReply;
    type Refusal = Refusal;
    const COUNTER: &'static str = COUNTER;
    const UNREADABLE: Unreadable = UNREADABLE;

    async fn verify(
        context: &Context,
        incoming: &Incoming,
        now: DateTime<Utc>,
    ) -> std::result::Result<(), Refusal> {
        verify(context, incoming, now).await
    }

    fn read(context: &Context, incoming: &Incoming) -> std::result::Result<Message, Refusal> {
        let external_id = external_id(incoming)?;
        let notification = Notification::parse(&incoming.body)?;
        let meaning = partner(context, incoming)?
            .statuses
            .meaning(&notification.status_code);
        let callback = meaning
            .and_then(|meaning| meaning.happened())
            .map(|status| notification.callback(external_id, status))
            .transpose()?;
        if let Some(callback) = &callback {
            count_adjustments(&callback.adjustments);
        }
        Ok(Message {
            callback,
            is_pending: meaning.is_some(),
            external_id: external_id.to_owned(),
            notification,
        })
    }

    async fn apply_together(
        context: &Context,
        arrival: &Arrival,
        message: &Message,
    ) -> Result<Option<(&'static str, SnapReply)>> {
        let Some(callback) = &message.callback else {
            return Ok(None);
        };
        let reply = SnapReply::of(&Case::Successful);
        let once = || {
            Some(Once {
                external_id: message.external_id.clone(),
                answered: reply.answered(&arrival.incoming.body),
            })
        };
        let receipt = context
            .payment_queue()
            .apply(arrival, callback, once)
            .await?;
        Ok(receipt.map(|receipt| (receipt.verdict, reply)))
    }

    async fn apply(
        unit: &mut UnitOfWork,
        verified: &Verified<'_>,
        message: &Message,
    ) -> Result<(&'static str, SnapReply)> {
        let handler = SnapHandler { verified, message };
        handler.answer(unit).await
    }
}

fn partner<'a>(
    context: &'a Context,
    incoming: &Incoming,
) -> std::result::Result<&'a SnapPartner, Refusal> {
    let named = incoming.partner_id.as_deref().unwrap_or_default();
    match context.qris_partner(named) {
        Some(Partner::Snap(partner)) => Ok(partner),
        Some(Partner::Hmac { .. }) | None => Err(SignatureError::InvalidSignature.into()),
    }
}

async fn verify(
    context: &Context,
    incoming: &Incoming,
    now: DateTime<Utc>,
) -> std::result::Result<(), Refusal> {
    let partner = partner(context, incoming)?;
    let partner_id = incoming.partner_id.as_deref().unwrap_or_default();
    let proof = &incoming.snap;
    let timestamp = timestamp_of(proof.timestamp.as_deref())?;
    let signed = Signed {
        method: "POST",
        path: &incoming.path,
        body: &incoming.body,
        timestamp,
    };
    if partner.asymmetric {
        signed.verify_asymmetric(&partner.keys, proof.signature.as_deref())?;
    } else {
        let token = proof.token.as_deref().unwrap_or_default();
        signed.verify_symmetric(&partner.secrets, token, proof.signature.as_deref())?;
        // The database is asked for the token only when the signature is right.
        let mut conn = context.pool().acquire().await.map_err(Error::from)?;
        let hash = secret::hash(token);
        let good = store::payment::partner_token::is_good(&mut conn, &hash, partner_id, now)
            .await
            .map_err(Error::from)?;
        if !good {
            let error = Error::InvalidSignature("the access token is not known, or over");
            return Err(Refusal::new(Case::InvalidToken, error));
        }
    }
    Ok(verify_time(
        timestamp,
        now,
        context.settings().timestamp_tolerance,
    )?)
}

fn external_id(incoming: &Incoming) -> std::result::Result<&str, Refusal> {
    let id = incoming
        .snap
        .external_id
        .as_deref()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Refusal::missing("X-EXTERNAL-ID"))?;
    if id.len() > EXTERNAL_ID_LEN_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::format("X-EXTERNAL-ID"));
    }
    Ok(id)
}

/// A verified notification in the transaction that applies it.
struct SnapHandler<'a> {
    verified: &'a Verified<'a>,
    message: &'a Message,
}

impl SnapHandler<'_> {
    /// Answers with verdict and reply. The same message under the same id gets the same reply, without effect.
    async fn answer(&self, unit: &mut UnitOfWork) -> Result<(&'static str, SnapReply)> {
        let external_id = self.verified.external_id(&self.message.external_id);
        store::payment::external_id::lock(unit.conn(), &[external_id]).await?;
        let before = store::payment::external_id::find(unit.conn(), &[external_id]).await?;
        if let Some(before) = before.into_iter().flatten().next() {
            let body_hash = secret::hash_bytes(&minify(self.verified.body));
            return self.repeated(unit, &before, &body_hash).await;
        }
        let (verdict, case) = self.apply(unit).await?;
        let reply = SnapReply::of(&case);
        let answered = reply.answered(self.verified.body);
        let answer = (external_id, &answered, self.verified.id);
        store::payment::external_id::insert(unit.conn(), &[answer]).await?;
        Ok((verdict, reply))
    }

    /// The id was used today.
    async fn repeated(
        &self,
        unit: &mut UnitOfWork,
        before: &Answered,
        body_hash: &[u8],
    ) -> Result<(&'static str, SnapReply)> {
        if before.body_hash == body_hash {
            self.keep(unit, "duplicate", None, None, before.http_status)
                .await?;
            let reply = SnapReply {
                http_status: before.http_status,
                answer: serde_json::from_value(before.answer.clone())
                    .map_err(anyhow::Error::from)?,
                outage: None,
            };
            return Ok(("duplicate", reply));
        }
        let reply = SnapReply::of(&Case::Conflict);
        let reason = Some("external_id_reused");
        self.keep(unit, "rejected", reason, None, reply.http_status)
            .await?;
        self.incident(unit, "external_id_reused", None).await?;
        unit.raise(self.verified.rejected("external_id_reused"));
        Ok(("rejected", reply))
    }

    async fn apply(&self, unit: &mut UnitOfWork) -> Result<(&'static str, Case)> {
        let Some(callback) = &self.message.callback else {
            return self.undecided(unit).await;
        };
        let handler = CallbackHandler::new(unit, *self.verified, callback);
        let verdict = handler.apply(unit).await?;
        let name = verdict.name();
        let case = match verdict {
            CallbackOutcome::Taken(_) => Case::Successful,
            CallbackOutcome::Refused(Error::NotFound(Noun::Transaction)) => {
                Case::TransactionNotFound
            }
            CallbackOutcome::Refused(Error::Duplicate { .. } | Error::InvalidState { .. }) => {
                Case::Conflict
            }
            CallbackOutcome::Refused(error) => return Err(error),
        };
        Ok((name, case))
    }

    /// Nothing happened yet; or the code means nothing to us, and then the partner is asked. Nothing is announced.
    async fn undecided(&self, unit: &mut UnitOfWork) -> Result<(&'static str, Case)> {
        let named = match self.message.notification.target {
            Some(CallbackTarget::Transaction { id, .. }) => Some(id),
            Some(CallbackTarget::Static(_)) | None => None,
        };
        let transaction_id = match named {
            Some(id) => {
                store::payment::transaction::lock(unit.conn(), id, Some(self.verified.partner_id))
                    .await?
                    .map(|transaction| transaction.id)
            }
            None => None,
        };
        if self.message.is_pending {
            self.keep(unit, "ignored", Some("pending"), transaction_id, 200)
                .await?;
            return Ok(("ignored", Case::Successful));
        }
        self.keep(unit, "held", Some("unknown_status"), transaction_id, 200)
            .await?;
        self.incident(unit, "unknown_status", transaction_id)
            .await?;
        if let Some(transaction_id) = transaction_id {
            let now = unit.now();
            store::payment::partner_order::query_soon(unit.conn(), transaction_id, now).await?;
        }
        Ok(("held", Case::Successful))
    }

    /// Keeps an incident about a message that is not judged.
    async fn incident(
        &self,
        unit: &mut UnitOfWork,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let notification = &self.message.notification;
        let reference = notification.partner_reference.as_deref();
        let details = json!({
            "event_id": self.message.external_id,
            "partner_reference": reference,
            "amount": notification.amount.as_ref().and_then(PaidAmount::rupiah),
            "status": notification.status_code,
        });
        self.verified
            .incident(unit, kind, transaction_id, reference, details)
            .await
    }

    async fn keep(
        &self,
        unit: &mut UnitOfWork,
        verdict: &str,
        reason: Option<&str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Result<()> {
        let entry = Entry {
            verdict,
            reason,
            http_status,
            partner_reference: self.message.notification.partner_reference.as_deref(),
            transaction_id,
        };
        self.verified.archive(unit.conn(), entry).await
    }
}
