//! `/admin/webhook-endpoints`: who is told by HTTP of what happens.

use axum::extract::State;
use domain::webhook::DeliveryStatus;
use serde::{Deserialize, Serialize};
use service::webhook::delivery;
use service::webhook::endpoint::{self, EndpointPatch, EndpointWithSecret, NewEndpoint};
use service::{Context, word};
use store::webhook::delivery::Delivery;
use store::webhook::endpoint::Endpoint;
use utoipa::{IntoParams, ToSchema};
use wire::ids::{WebhookDeliveryId, WebhookEndpointId};

use crate::auth::Staff;
use crate::auth::grants::{WebhookRead, WebhookWrite};
use crate::envelope::{self, Accepted, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit, commit_without};
use crate::json::{Action, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

/// What is in the first answer only.
const SECRETS: [&str; 1] = ["secret"];

pub(super) fn routes() -> Routes {
    use ErrorCode::{InvalidState, MerchantNotFound};

    Routes::of("Webhooks")
        .post(
            "/admin/webhook-endpoints",
            create,
            "Makes an endpoint that is told of events; its secret is in this answer only",
            &[MerchantNotFound, InvalidState],
        )
        .get(
            "/admin/webhook-endpoints",
            list,
            "Endpoints without their secrets, newest first",
            &[],
        )
        .get(
            "/admin/webhook-endpoints/{endpoint_id}",
            get,
            "An endpoint, and whether messages get through to it",
            &[],
        )
        .patch(
            "/admin/webhook-endpoints/{endpoint_id}",
            patch,
            "Changes an endpoint, or switches it off or on; what it has not taken is then sent at once",
            &[],
        )
        .delete(
            "/admin/webhook-endpoints/{endpoint_id}",
            delete,
            "Removes an endpoint, with what it has not taken",
            &[],
        )
        .post(
            "/admin/webhook-endpoints/{endpoint_id}/rotate-secret",
            rotate_secret,
            "Gives an endpoint another secret, in this answer only; for a day messages are signed with both",
            &[],
        )
        .post(
            "/admin/webhook-endpoints/{endpoint_id}/test",
            test,
            "Sends an endpoint a message of the type endpoint.test",
            &[InvalidState],
        )
        .get(
            "/admin/webhook-endpoints/{endpoint_id}/deliveries",
            deliveries,
            "The messages to an endpoint, newest first, with what it answered",
            &[],
        )
        .post(
            "/admin/webhook-endpoints/deliveries/{delivery_id}/resend",
            resend,
            "Sends a message again, also one that was taken",
            &[],
        )
}

async fn create(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewEndpoint>>,
) -> Answer<Created<EndpointWithSecret>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let made = endpoint::create(&mut unit, request.body.0).await?;
    commit_without(unit, envelope::created(&made)?, &SECRETS).await
}

async fn list(
    _: Staff<WebhookRead>,
    State(context): State<Context>,
    page: PageQuery,
) -> Result<List<Endpoint>, ApiError> {
    let rows = endpoint::list(&context, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn get(
    _: Staff<WebhookRead>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Data<Endpoint>, ApiError> {
    envelope::ok(&endpoint::get(&context, id).await?)
}

async fn patch(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
    Json(change): Json<EndpointPatch>,
) -> Answer<Data<Endpoint>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = endpoint::patch(&mut unit, id, change).await?;
    commit(unit, envelope::ok(&changed)?).await
}

async fn delete(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<Endpoint>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let removed = endpoint::delete(&mut unit, id).await?;
    commit(unit, envelope::ok(&removed)?).await
}

async fn rotate_secret(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<EndpointWithSecret>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let rotated = endpoint::rotate_secret(&mut unit, id).await?;
    commit_without(unit, envelope::ok(&rotated)?, &SECRETS).await
}

/// A message that will be sent.
#[derive(Serialize, ToSchema)]
struct Queued {
    /// Its id, also its `webhook-id`.
    delivery_id: WebhookDeliveryId,
}

async fn test(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Accepted<Queued>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let delivery_id = endpoint::test(&mut unit, id).await?;
    commit(unit, envelope::accepted(&Queued { delivery_id })?).await
}

#[derive(Deserialize, IntoParams)]
struct DeliveriesQuery {
    /// `pending` or `delivered`.
    status: Option<String>,
}

async fn deliveries(
    _: Staff<WebhookRead>,
    State(context): State<Context>,
    Id(id): Id<WebhookEndpointId>,
    page: PageQuery,
    Query(query): Query<DeliveriesQuery>,
) -> Result<List<Delivery>, ApiError> {
    let status: Option<DeliveryStatus> = word("status", query.status.as_deref())?;
    let rows = delivery::list(&context, id, status, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn resend(
    staff: Staff<WebhookWrite>,
    State(context): State<Context>,
    Id(id): Id<WebhookDeliveryId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Accepted<Delivery>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let again = delivery::resend(&mut unit, id).await?;
    commit(unit, envelope::accepted(&again)?).await
}
