//! Messages that are proven to be a partner's and cannot be acted on: never lost, and never silent.

use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::{Value, json};
use wire::ids::{CallbackId, IncidentId};

use super::{Incoming, count};
use crate::payment::incident;
use crate::{Actor, Context, Error, Result, UnitOfWork};

/// Keeps a verified message of which something that decides cannot be read, with an incident that says what.
pub(super) async fn keep_unreadable(
    context: &Context,
    incoming: &Incoming,
    partner_id: &str,
    received_at: DateTime<Utc>,
    error: &Error,
) -> Result<()> {
    let actor = Actor {
        name: partner_id.to_owned(),
        request_id: incoming.request_id.clone(),
    };
    let mut unit = context.begin(actor).await?;
    let kind = "unreadable_message";
    let id = archive_unreadable(&mut unit, incoming, partner_id, received_at, error, kind).await?;
    unit.raise(rejected(partner_id, id, kind));
    unit.commit().await?;
    count("rejected");
    Ok(())
}

/// Archives a verified message of which something that decides cannot be read, with an incident of this kind that lists
/// what is wrong with it.
pub(crate) async fn archive_unreadable(
    unit: &mut UnitOfWork,
    incoming: &Incoming,
    partner_id: &str,
    received_at: DateTime<Utc>,
    error: &Error,
    kind: &str,
) -> Result<CallbackId> {
    let reason = error.to_string();
    let callback = store::payment::callback::Callback {
        id: CallbackId::from_uuid(unit.uuid()),
        route: incoming.route(),
        partner_id: Some(partner_id),
        received_at,
        headers: &incoming.headers,
        body: &incoming.body,
        verdict: "rejected",
        reason: Some(&reason),
        http_status: error.code().status(),
        partner_reference: None,
        transaction_id: None,
    };
    store::payment::callback::insert(unit.conn(), &callback).await?;
    let incident = store::payment::incident::NewIncident {
        id: IncidentId::from_uuid(unit.uuid()),
        kind,
        partner_id,
        transaction_id: None,
        partner_reference: None,
        callback_id: callback.id,
        details: json!({ "reason": reason, "fields": fields(error) }),
        created_at: unit.now(),
    };
    incident::open(unit, &incident).await?;
    Ok(callback.id)
}

fn fields(error: &Error) -> Value {
    match error {
        Error::Validation(fields) => json!(fields),
        _ => json!([]),
    }
}

/// The alert about a verified message that was refused.
pub(super) fn rejected(partner_id: &str, callback_id: CallbackId, reason: &str) -> NewAlert {
    NewAlert::new(
        AlertKind::RejectedCallback,
        AlertSubject::Partner(partner_id.to_owned()),
        json!({ "callback_id": callback_id, "kind": reason }),
    )
}
