//! The messages to an endpoint.

use domain::webhook::DeliveryStatus;
use serde_json::json;
use store::Page;
use store::webhook::delivery::Delivery;
use wire::ids::{WebhookDeliveryId, WebhookEndpointId};

use super::endpoint;
use crate::{Context, Error, Noun, Result, UnitOfWork};

/// The messages to an endpoint, newest first.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found.
pub async fn list(
    context: &Context,
    endpoint_id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: Page,
) -> Result<Vec<Delivery>> {
    endpoint::get(context, endpoint_id).await?;
    let mut conn = context.lists().acquire().await?;
    Ok(store::webhook::delivery::list(&mut conn, endpoint_id, status, page).await?)
}

/// Sends a message again, also one that was taken.
///
/// # Errors
/// [`Noun::WebhookDelivery`] not found.
pub async fn resend(unit: &mut UnitOfWork, id: WebhookDeliveryId) -> Result<Delivery> {
    let now = unit.now();
    let delivery = store::webhook::delivery::send_again(unit.conn(), id, now)
        .await?
        .ok_or(Error::NotFound(Noun::WebhookDelivery))?;
    let endpoint_id = delivery.endpoint_id;
    unit.audit(
        "webhook_delivery.resend",
        id,
        None,
        Some(json!({ "endpoint_id": endpoint_id })),
    )
    .await?;
    Ok(delivery)
}
