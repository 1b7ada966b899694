//! From what happened to messages: one for each endpoint that wants to know.

use store::webhook::delivery::NewDelivery;
use store::webhook::endpoint::Endpoint;
use store::webhook::event::Event;
use wire::ids::WebhookDeliveryId;

use super::message;
use crate::{Context, Result};

/// How many events are taken at once.
const EVENTS_MAX: i64 = 500;

/// Makes messages of up to [`EVENTS_MAX`] events, in the transaction that deletes them. Returns how many events there were. One
/// process does so at a time.
pub(super) async fn run(context: &Context) -> Result<usize> {
    let mut tx = context.transaction().await?;
    if !store::webhook::event::try_lead(&mut tx).await? {
        return Ok(0);
    }
    let events = store::webhook::event::take(&mut tx, EVENTS_MAX).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let endpoints = store::webhook::endpoint::enabled(&mut tx).await?;
    let bodies = message::bodies(&mut tx, &events).await?;
    let mut deliveries = Vec::new();
    for (event, body) in events.iter().zip(&bodies) {
        let Some(body) = body else {
            tracing::warn!(event = %event.event, subject_id = %event.subject_id, "nobody is told of an event whose subject is gone");
            continue;
        };
        let interested = endpoints.iter().filter(|endpoint| wants(endpoint, event));
        deliveries.extend(interested.map(|endpoint| NewDelivery {
            id: WebhookDeliveryId::from_uuid(context.clock().uuid()),
            endpoint_id: endpoint.id,
            event: event.event,
            subject_id: event.subject_id,
            body: body.clone(),
        }));
    }
    store::webhook::delivery::insert(&mut tx, &deliveries, context.clock().now()).await?;
    tx.commit().await?;
    Ok(events.len())
}

/// An endpoint that is of a merchant is told of nobody else.
fn wants(endpoint: &Endpoint, event: &Event) -> bool {
    endpoint.events.contains(&event.event)
        && (endpoint.merchant_id.is_none() || endpoint.merchant_id == event.merchant_id)
}
