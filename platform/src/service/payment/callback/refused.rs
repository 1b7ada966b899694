//! Messages that are proven to be a partner's and cannot be acted on: never lost, and never silent.

use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::{Value, json};
use wire::ids::{CallbackId, IncidentId};

use super::judgement::Message;
use super::{Incoming, count};
use crate::service::payment::incident;
use crate::service::{Actor, Context, Error, Result};
use crate::store;

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
    let reason = error.to_string();
    let message = Message::of(incoming);
    let callback = store::payment::callback::Callback {
        id: CallbackId::from_uuid(unit.uuid()),
        route: message.route,
        partner_id: Some(partner_id),
        received_at,
        headers: message.headers,
        body: message.body,
        verdict: "rejected",
        reason: Some(&reason),
        http_status: error.code().status(),
        partner_reference: None,
        transaction_id: None,
    };
    store::payment::callback::insert(unit.conn(), &callback).await?;
    let incident = store::payment::incident::NewIncident {
        id: IncidentId::from_uuid(unit.uuid()),
        kind: "unreadable_message",
        partner_id,
        transaction_id: None,
        partner_reference: None,
        callback_id: callback.id,
        details: json!({ "reason": reason, "fields": fields(error) }),
        created_at: unit.now(),
    };
    incident::open(&mut unit, &incident).await?;
    unit.raise(rejected(partner_id, callback.id, incident.kind));
    unit.commit().await?;
    count("rejected");
    Ok(())
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
