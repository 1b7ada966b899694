//! `qr-mpm-notify`: SNAP's callback.
//!
//! It is answered in SNAP's own form, always: also what fails is one of the standard's cases, and what really happened
//! is for the log. X-EXTERNAL-ID names a message once a day: the same message again gets the same answer, another one
//! under its id is refused.

use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackTarget, PaidAmount};
use domain::partner_signature::SignatureError;
use domain::snap::answer::{Answer, Case, Service};
use domain::snap::minify::minify;
use domain::snap::notification::{Notification, NotificationError};
use domain::snap::signature::{Signed, timestamp_of, verify_time};
use domain::snap::{self, EXTERNAL_ID_LEN_MAX};
use serde_json::{Value, json};
use store::outage::Outage;
use store::payment::external_id::{Answered, ExternalId};
use wire::ids::{CallbackId, IncidentId, TransactionId};

use super::judgement::{CallbackHandler, CallbackOutcome, Message};
use super::refused::{keep_unreadable, rejected};
use super::rejected::{keep_failed, keep_unverified};
use super::{Incoming, count, untrusted};
use crate::payment::incident;
use crate::retry::retried;
use crate::{Actor, Context, Error, Noun, Partner, Result, SnapPartner, UnitOfWork, secret};

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

/// Why a message is refused: what the partner is told, and what the archive is.
struct Refusal {
    case: Case,
    error: Error,
}

impl Refusal {
    fn new(case: Case, error: Error) -> Self {
        Self { case, error }
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

/// Takes one notification.
pub async fn receive(context: &Context, incoming: Incoming) -> SnapReply {
    let received_at = context.clock().now();
    let mut proven = None;
    let refusal = match taken(context, &incoming, received_at, &mut proven).await {
        Ok(reply) => return reply,
        Err(refusal) => refusal,
    };
    let kept = match (&refusal.case, &proven) {
        (Case::GeneralError, partner_id) => {
            let error = &refusal.error;
            tracing::error!(?partner_id, %error, "a SNAP notification could not be taken");
            if let Some(partner_id) = partner_id {
                keep_failed(context, &incoming, partner_id, received_at, error).await;
            }
            Ok(())
        }
        (_, Some(partner_id)) => {
            keep_unreadable(context, &incoming, partner_id, received_at, &refusal.error).await
        }
        (_, None) => {
            count("rejected");
            keep_unverified(context, &incoming, received_at, &refusal.error).await;
            Ok(())
        }
    };
    match kept {
        Ok(()) if matches!(refusal.case, Case::GeneralError) => SnapReply::failed(&refusal.error),
        Ok(()) => SnapReply::of(&refusal.case),
        Err(error) => {
            tracing::error!(%error, "a refused SNAP notification could not be kept");
            SnapReply::failed(&error)
        }
    }
}

/// `proven` is set as soon as it is known who speaks.
async fn taken(
    context: &Context,
    incoming: &Incoming,
    received_at: DateTime<Utc>,
    proven: &mut Option<String>,
) -> std::result::Result<SnapReply, Refusal> {
    let named = incoming.partner_id.as_deref().unwrap_or_default();
    let partner = match context.qris_partner(named) {
        Some(Partner::Snap(partner)) => partner,
        Some(Partner::Hmac { .. }) | None => return Err(SignatureError::InvalidSignature.into()),
    };
    verify(context, named, partner, incoming, received_at).await?;
    *proven = Some(named.to_owned());
    let external_id = external_id(incoming)?;
    let notification = Notification::parse(&incoming.body)?;
    let meaning = partner.statuses.meaning(&notification.status_code);
    let callback = meaning
        .and_then(|meaning| meaning.happened())
        .map(|status| notification.callback(external_id, status))
        .transpose()?;
    let verified = Verified {
        partner_id: named,
        incoming,
        notification: &notification,
        callback: callback.as_ref(),
        is_pending: meaning.is_some(),
        external_id: ExternalId {
            partner_id: named,
            day: snap::day(received_at),
            external_id,
        },
        received_at,
    };
    Ok(retried(|| verified.take(context)).await?)
}

async fn verify(
    context: &Context,
    partner_id: &str,
    partner: &SnapPartner,
    incoming: &Incoming,
    now: DateTime<Utc>,
) -> std::result::Result<(), Refusal> {
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
        // Only who holds the secret makes us look for a token.
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

/// A notification whose sender is known and whose body reads.
struct Verified<'a> {
    partner_id: &'a str,
    incoming: &'a Incoming,
    notification: &'a Notification,
    /// None when nothing happened yet, or the status code means nothing.
    callback: Option<&'a Callback>,
    is_pending: bool,
    external_id: ExternalId<'a>,
    received_at: DateTime<Utc>,
}

impl Verified<'_> {
    async fn take(&self, context: &Context) -> Result<SnapReply> {
        let actor = Actor {
            name: self.partner_id.to_owned(),
            request_id: self.incoming.request_id.clone(),
        };
        let mut unit = context.begin(actor).await?;
        let id = CallbackId::from_uuid(unit.uuid());
        store::payment::external_id::lock(unit.conn(), self.external_id).await?;
        let before = store::payment::external_id::find(unit.conn(), self.external_id).await?;
        let body_hash = secret::hash_bytes(&minify(&self.incoming.body));
        let (verdict, reply) = match before {
            Some(before) => self.repeated(&mut unit, id, &before, &body_hash).await?,
            None => {
                let (verdict, case) = self.apply(&mut unit, id).await?;
                let reply = SnapReply::of(&case);
                let answered = Answered {
                    body_hash,
                    http_status: reply.http_status,
                    answer: json!(reply.answer),
                };
                store::payment::external_id::insert(unit.conn(), self.external_id, &answered, id)
                    .await?;
                (verdict, reply)
            }
        };
        unit.commit().await?;
        count(verdict);
        Ok(reply)
    }

    /// The id was used today.
    async fn repeated(
        &self,
        unit: &mut UnitOfWork,
        id: CallbackId,
        before: &Answered,
        body_hash: &[u8],
    ) -> Result<(&'static str, SnapReply)> {
        if before.body_hash == body_hash {
            self.keep(unit, id, "duplicate", None, None, before.http_status)
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
        self.keep(unit, id, "rejected", reason, None, reply.http_status)
            .await?;
        self.incident(unit, id, "external_id_reused", None).await?;
        unit.raise(rejected(self.partner_id, id, "external_id_reused"));
        Ok(("rejected", reply))
    }

    async fn apply(&self, unit: &mut UnitOfWork, id: CallbackId) -> Result<(&'static str, Case)> {
        let Some(callback) = self.callback else {
            return self.undecided(unit, id).await;
        };
        let message = Message::of(self.incoming);
        let at = self.received_at;
        let handler = CallbackHandler::new(unit, id, self.partner_id, message, callback, at);
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
    async fn undecided(
        &self,
        unit: &mut UnitOfWork,
        id: CallbackId,
    ) -> Result<(&'static str, Case)> {
        let named = match self.notification.target {
            Some(CallbackTarget::Transaction { id, .. }) => Some(id),
            Some(CallbackTarget::Static(_)) | None => None,
        };
        let transaction_id = match named {
            Some(id) => {
                store::payment::transaction::lock_of_partner(unit.conn(), self.partner_id, id)
                    .await?
                    .map(|transaction| transaction.id)
            }
            None => None,
        };
        if self.is_pending {
            self.keep(unit, id, "ignored", Some("pending"), transaction_id, 200)
                .await?;
            return Ok(("ignored", Case::Successful));
        }
        self.keep(
            unit,
            id,
            "held",
            Some("unknown_status"),
            transaction_id,
            200,
        )
        .await?;
        self.incident(unit, id, "unknown_status", transaction_id)
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
        id: CallbackId,
        kind: &str,
        transaction_id: Option<TransactionId>,
    ) -> Result<()> {
        let incident = store::payment::incident::NewIncident {
            id: IncidentId::from_uuid(unit.uuid()),
            kind,
            partner_id: self.partner_id,
            transaction_id,
            partner_reference: self.notification.partner_reference.as_deref(),
            callback_id: id,
            details: self.details(),
            created_at: unit.now(),
        };
        incident::open(unit, &incident).await
    }

    fn details(&self) -> Value {
        json!({
            "event_id": self.external_id.external_id,
            "partner_reference": self.notification.partner_reference,
            "amount": self.notification.amount.as_ref().and_then(PaidAmount::rupiah),
            "status": self.notification.status_code,
        })
    }

    async fn keep(
        &self,
        unit: &mut UnitOfWork,
        id: CallbackId,
        verdict: &str,
        reason: Option<&str>,
        transaction_id: Option<TransactionId>,
        http_status: u16,
    ) -> Result<()> {
        let message = Message::of(self.incoming);
        let callback = store::payment::callback::Callback {
            id,
            route: message.route,
            partner_id: Some(self.partner_id),
            received_at: self.received_at,
            headers: message.headers,
            body: message.body,
            verdict,
            reason,
            http_status,
            partner_reference: self.notification.partner_reference.as_deref(),
            transaction_id,
        };
        store::payment::callback::insert(unit.conn(), &callback).await?;
        Ok(())
    }
}
