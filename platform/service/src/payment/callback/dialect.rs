//! A partner's callback, in its dialect: verified, read, applied and answered.
//!
//! Where the dialect has an external id, it names a message once a day: the same message again gets the same answer,
//! another one under its id is refused.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::dialect::Dialect;
use domain::dialect::answer::AnswerForm;
use domain::dialect::signature::Evidence;
use domain::partner_signature::SignatureError;
use domain::snap::EXTERNAL_ID_LEN_MAX;
use domain::snap::answer::Case;
use domain::snap::minify::minify;
use store::payment::external_id::Answered;

use super::batch::Once;
use super::handler::{CallbackHandler, CallbackOutcome};
use super::read::Read;
use super::receiver::{self, Arrival, NamedOrder, Profile, Unreadable};
use super::reply::{Outcome, Refusal, Reply, answered};
use super::sender::{sender, spoken_at};
use super::undecided::undecided;
use super::verified::{Entry, Verified};
use super::{COUNTER, Incoming, NamedBy, Receipt, UNREADABLE, count_adjustments};
use crate::{Context, Error, Noun, Partner, Result, UnitOfWork, secret};

/// Receives one callback, and answers it in its partner's form.
pub async fn receive(context: &Context, mut incoming: Incoming) -> Reply {
    let dialect = match sender(context, &incoming) {
        Some((id, partner)) => {
            incoming.partner_id = Some(id.to_owned());
            let dialect = Arc::clone(&partner.dialect);
            if let Cow::Owned(carrier) = carrier(&dialect, &incoming) {
                incoming.body = carrier.into();
            }
            without_credentials(&dialect, &mut incoming);
            Some(dialect)
        }
        None => {
            claim(&mut incoming);
            spoken_at(context, &incoming)
        }
    };
    let incoming = Arc::new(incoming);
    let outcome = match receiver::receive::<InDialect>(context, &incoming).await {
        Ok(Answer::Outcome(outcome)) => outcome,
        Ok(Answer::Repeated(before)) => return repeated_reply(before, dialect.as_deref()),
        Err(refusal) => {
            if let Case::GeneralError | Case::Unavailable = refusal.case {
                let (partner_id, error) = (&incoming.partner_id, &refusal.error);
                tracing::error!(partner_id, %error, "a callback could not be received");
            }
            Outcome::Refused(refusal)
        }
    };
    match dialect {
        Some(dialect) => outcome.reply(&dialect.answers),
        None => Reply::Ours(match outcome {
            Outcome::Taken(receipt) => Ok(receipt),
            Outcome::Refused(refusal) => Err(refusal.error),
        }),
    }
}

/// What the same message was answered before. Our own form is made anew, because it names the request.
fn repeated_reply(before: Answered, dialect: Option<&Dialect>) -> Reply {
    let is_ours = dialect.is_none_or(|dialect| dialect.answers.form == AnswerForm::Envelope);
    if is_ours && before.http_status < 300 {
        return Reply::Ours(Ok(Receipt {
            verdict: "duplicate",
            transaction_id: None,
            status: None,
        }));
    }
    Reply::Theirs {
        http_status: before.http_status,
        body: before.answer,
        outage: None,
    }
}

/// What carries the fields, when that is not the body.
fn carrier<'a>(dialect: &Dialect, incoming: &'a Incoming) -> Cow<'a, [u8]> {
    let carrier = dialect.carrier(&incoming.path, &incoming.body);
    if std::ptr::eq(carrier, &*incoming.body) {
        Cow::Borrowed(carrier)
    } else {
        Cow::Owned(carrier.to_vec())
    }
}

/// Headers that hold credentials in this dialect are not kept.
fn without_credentials(dialect: &Dialect, incoming: &mut Incoming) {
    if let Some(kept) = incoming.kept_headers.as_object_mut() {
        for name in dialect.signing.credential_headers() {
            kept.remove(name);
        }
    }
}

/// Whom a sender that is not known claims to be.
fn claim(incoming: &mut Incoming) {
    if incoming.named_by != NamedBy::Path {
        let named = incoming
            .headers
            .get("x-partner-id")
            .or_else(|| incoming.headers.get("x-client-key"));
        incoming.partner_id = named.map(str::to_owned);
    }
}

struct InDialect;

pub(super) enum Answer {
    Outcome(Outcome),
    /// What the same message was answered before.
    Repeated(Answered),
}

fn known<'a>(
    context: &'a Context,
    incoming: &Incoming,
) -> std::result::Result<(&'a str, &'a Partner), Refusal> {
    sender(context, incoming).ok_or_else(|| SignatureError::InvalidSignature.into())
}

impl Profile for InDialect {
    type Message = Read;
    type Answer = Answer;
    type Refusal = Refusal;
    const COUNTER: &'static str = COUNTER;
    const UNREADABLE: Unreadable = UNREADABLE;

    async fn verify(
        context: &Context,
        incoming: &Incoming,
        now: DateTime<Utc>,
    ) -> std::result::Result<(), Refusal> {
        let (id, partner) = known(context, incoming)?;
        let evidence = Evidence {
            method: "POST",
            path: &incoming.path,
            headers: &incoming.headers,
            body: &incoming.body,
            fields: &partner.dialect.fields_of(&incoming.body),
        };
        let tolerance = context.settings().timestamp_tolerance;
        let signing = &partner.dialect.signing;
        let proven = signing.verify(&evidence, &partner.credentials, now, tolerance)?;
        if let Some(signed_at) = proven.signed_at {
            context.partner_clocks().note(id, now - signed_at);
        }
        if let Some(token) = proven.token {
            // The database is asked for the token only when the signature is right.
            let mut conn = context.pool().acquire().await.map_err(Error::from)?;
            let hash = secret::hash(token);
            let good = store::payment::partner_token::is_good(&mut conn, &hash, id, now)
                .await
                .map_err(Error::from)?;
            if !good {
                let error = Error::InvalidSignature("the access token is not known, or over");
                return Err(Refusal::new(Case::InvalidToken, error));
            }
        }
        Ok(())
    }

    async fn look_up(context: &Context, incoming: &Incoming) -> Result<Option<NamedOrder>> {
        match sender(context, incoming) {
            Some((id, partner)) => look_up(context, id, &partner.dialect, &incoming.body).await,
            None => Ok(None),
        }
    }

    fn read(
        context: &Context,
        incoming: &Incoming,
        order: Option<&NamedOrder>,
    ) -> std::result::Result<Read, Refusal> {
        let (_, partner) = known(context, incoming)?;
        let external_id = external_id(&partner.dialect, incoming)?;
        read(&partner.dialect, &incoming.body, external_id, order)
    }

    async fn apply_together(
        context: &Context,
        arrival: &Arrival,
        read: &Read,
    ) -> Result<Option<(&'static str, Answer)>> {
        let Some(callback) = &read.callback else {
            return Ok(None);
        };
        let Some((_, partner)) = sender(context, &arrival.incoming) else {
            return Ok(None);
        };
        let once = || {
            let answers = &partner.dialect.answers;
            Some(Once {
                external_id: read.external_id.clone()?,
                answered: answered(answers, &Case::Successful, &arrival.incoming.body),
            })
        };
        let receipt = context
            .payment_queue()
            .apply(arrival, callback, once)
            .await?;
        Ok(receipt.map(|receipt| (receipt.verdict, Answer::Outcome(Outcome::Taken(receipt)))))
    }

    async fn apply(
        unit: &mut UnitOfWork,
        verified: &Verified<'_>,
        read: &Read,
    ) -> Result<(&'static str, Answer)> {
        apply(unit, verified, read).await
    }
}

/// The order that a verified message names, where only the database says which transaction that is. Where names are read
/// back by themselves, nothing is asked.
pub(super) async fn look_up(
    context: &Context,
    partner_id: &str,
    dialect: &Dialect,
    body: &[u8],
) -> Result<Option<NamedOrder>> {
    let Some(name) = dialect.stored_name(&dialect.fields_of(body)) else {
        return Ok(None);
    };
    let mut conn = context.pool().acquire().await?;
    let id = store::payment::partner_order::named(&mut conn, partner_id, &name).await?;
    Ok(id.map(|id| NamedOrder { name, id }))
}

/// Reads a verified message, perhaps about an order that was looked up.
pub(super) fn read(
    dialect: &Dialect,
    body: &[u8],
    external_id: Option<String>,
    order: Option<&NamedOrder>,
) -> std::result::Result<Read, Refusal> {
    let fields = dialect.fields_of(body);
    let message = dialect.read_about(&fields, order.map(NamedOrder::as_known))?;
    let callback = match (message.happened(), &message.amount) {
        (Some(status), Some(_)) => Some(message.callback(external_id.as_deref(), status)?),
        // The dialect lets the amount be absent: the partner is asked.
        (Some(_), None) | (None, _) => None,
    };
    count_adjustments(&message.adjustments);
    Ok(Read {
        callback,
        external_id,
        message,
    })
}

fn external_id(
    dialect: &Dialect,
    incoming: &Incoming,
) -> std::result::Result<Option<String>, Refusal> {
    let Some(header) = &dialect.inbound.external_id_header else {
        return Ok(None);
    };
    let id = incoming.headers.get(header).filter(|id| !id.is_empty());
    let is_required = dialect.inbound.external_id_required;
    match id {
        None if is_required => Err(Refusal::missing(&header.to_ascii_uppercase())),
        None => Ok(None),
        Some(id)
            if id.len() <= EXTERNAL_ID_LEN_MAX
                && id.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(id.to_owned()))
        }
        Some(_) if is_required => Err(Refusal::format(&header.to_ascii_uppercase())),
        // It does not decide: the payment's reference does.
        Some(_) => Ok(None),
    }
}

/// Archives a message and carries out what it means. The same message under the same id gets the same answer, without
/// effect.
pub(super) async fn apply(
    unit: &mut UnitOfWork,
    verified: &Verified<'_>,
    read: &Read,
) -> Result<(&'static str, Answer)> {
    let Some(external_id) = &read.external_id else {
        let (verdict, outcome) = judge(unit, verified, read).await?;
        return Ok((verdict, Answer::Outcome(outcome)));
    };
    let external_id = verified.external_id(external_id);
    store::payment::external_id::lock(unit.conn(), &[external_id]).await?;
    let before = store::payment::external_id::find(unit.conn(), &[external_id]).await?;
    if let Some(before) = before.into_iter().flatten().next() {
        return repeated(unit, verified, read, before).await;
    }
    let (verdict, outcome) = judge(unit, verified, read).await?;
    let case = match &outcome {
        Outcome::Taken(_) => &Case::Successful,
        Outcome::Refused(refusal) => &refusal.case,
    };
    let partner = unit.context().qris_partner(verified.partner_id);
    let partner = partner.ok_or_else(|| anyhow::anyhow!("its partner is not configured"))?;
    let answered = answered(&partner.dialect.answers, case, verified.body);
    let answer = (external_id, &answered, verified.id);
    store::payment::external_id::insert(unit.conn(), &[answer]).await?;
    Ok((verdict, Answer::Outcome(outcome)))
}

/// The id was used today.
async fn repeated(
    unit: &mut UnitOfWork,
    verified: &Verified<'_>,
    read: &Read,
    before: Answered,
) -> Result<(&'static str, Answer)> {
    let reference = read.message.partner_reference.as_deref();
    if before.body_hash == secret::hash_bytes(&minify(verified.body)) {
        let entry = Entry {
            partner_reference: reference,
            ..Entry::new("duplicate", before.http_status)
        };
        verified.archive(unit.conn(), entry).await?;
        return Ok(("duplicate", Answer::Repeated(before)));
    }
    let entry = Entry {
        reason: Some("external_id_reused"),
        partner_reference: reference,
        ..Entry::new("rejected", Case::Conflict.status())
    };
    verified.archive(unit.conn(), entry).await?;
    super::undecided::incident(unit, verified, read, "external_id_reused", None).await?;
    unit.raise(verified.rejected("external_id_reused"));
    let error = Error::Duplicate {
        message: "this external id was used for another message today".into(),
        retry_after_s: None,
    };
    let outcome = Outcome::Refused(Refusal::new(Case::Conflict, error));
    Ok(("rejected", Answer::Outcome(outcome)))
}

/// Judges a message and writes what follows from it.
pub(super) async fn judge(
    unit: &mut UnitOfWork,
    verified: &Verified<'_>,
    read: &Read,
) -> Result<(&'static str, Outcome)> {
    let Some(callback) = &read.callback else {
        let receipt = undecided(unit, verified, read).await?;
        return Ok((receipt.verdict, Outcome::Taken(receipt)));
    };
    let handler = CallbackHandler::new(unit, *verified, callback);
    let outcome = handler.apply(unit).await?;
    let verdict = outcome.name();
    let outcome = match outcome {
        CallbackOutcome::Taken(receipt) => Outcome::Taken(receipt),
        CallbackOutcome::Refused(error) => {
            let case = match &error {
                Error::NotFound(Noun::Transaction) => Case::TransactionNotFound,
                Error::Duplicate { .. } | Error::InvalidState { .. } => Case::Conflict,
                _ => return Err(error),
            };
            Outcome::Refused(Refusal::new(case, error))
        }
    };
    Ok((verdict, outcome))
}
