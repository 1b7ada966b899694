//! What a message says: `{"type", "timestamp", "data"}`, as Standard Webhooks recommends.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use domain::webhook::WebhookEvent;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use store::alert::Filter;
use store::webhook::event::Event;
use store::{Page, webhook::subject};
use uuid::Uuid;
use wire::ids::{AlertId, WebhookEndpointId};

use crate::Result;

/// What messages are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Payment,
    Settlement,
    Device,
    Alert,
    None,
}

fn subject_of(event: WebhookEvent) -> Subject {
    match event {
        WebhookEvent::PaymentPaid
        | WebhookEvent::PaymentReversed
        | WebhookEvent::PaymentHeard
        | WebhookEvent::PaymentUnheard => Subject::Payment,
        WebhookEvent::SettlementPaid | WebhookEvent::SettlementReturned => Subject::Settlement,
        WebhookEvent::DeviceOnline | WebhookEvent::DeviceOffline => Subject::Device,
        WebhookEvent::AlertOpened | WebhookEvent::AlertClosed => Subject::Alert,
        WebhookEvent::EndpointTest => Subject::None,
    }
}

/// The bodies of these events, in their order: each subject as it is now, with what is known of the event alone. `None`: the
/// subject is gone.
pub(super) async fn bodies(
    conn: &mut PgConnection,
    events: &[Event],
) -> Result<Vec<Option<String>>> {
    let ids = |wanted: Subject| -> Vec<Uuid> {
        let of_kind = events
            .iter()
            .filter(|event| subject_of(event.event) == wanted);
        of_kind.map(|event| event.subject_id).collect()
    };
    let mut data: HashMap<Uuid, Value> = HashMap::new();
    let payments = ids(Subject::Payment);
    if !payments.is_empty() {
        let rows = subject::payments(conn, &payments).await?;
        add(&mut data, &rows, |row| row.transaction_id.as_uuid())?;
    }
    let settlements = ids(Subject::Settlement);
    if !settlements.is_empty() {
        let rows = subject::settlements(conn, &settlements).await?;
        add(&mut data, &rows, |row| row.settlement_id.as_uuid())?;
    }
    let devices = ids(Subject::Device);
    if !devices.is_empty() {
        let rows = subject::devices(conn, &devices).await?;
        add(&mut data, &rows, |row| row.device_id.as_uuid())?;
    }
    // They are few.
    for id in ids(Subject::Alert) {
        let (one, all) = (
            Page {
                limit: 1,
                after: None,
            },
            Filter::default(),
        );
        let found = store::alert::list(conn, Some(AlertId::from_uuid(id)), &all, one).await?;
        add(&mut data, &found, |row| row.id.as_uuid())?;
    }
    let bodies = events.iter().map(|event| {
        let mut data = data.get(&event.subject_id)?.clone();
        merge(&mut data, &event.details);
        Some(body(event.event, event.at, &data))
    });
    Ok(bodies.collect())
}

/// The body of a test.
pub(super) fn test(id: WebhookEndpointId, at: DateTime<Utc>) -> String {
    body(
        WebhookEvent::EndpointTest,
        at,
        &json!({ "endpoint_id": id }),
    )
}

fn body(event: WebhookEvent, at: DateTime<Utc>, data: &Value) -> String {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({ "type": event, "timestamp": timestamp, "data": data }).to_string()
}

fn add<R: Serialize>(
    data: &mut HashMap<Uuid, Value>,
    rows: &[R],
    id: impl Fn(&R) -> Uuid,
) -> Result<()> {
    for row in rows {
        let value = serde_json::to_value(row).map_err(anyhow::Error::from)?;
        data.insert(id(row), value);
    }
    Ok(())
}

fn merge(data: &mut Value, details: &Value) {
    if let (Some(data), Some(details)) = (data.as_object_mut(), details.as_object()) {
        for (name, value) in details {
            data.insert(name.clone(), value.clone());
        }
    }
}
