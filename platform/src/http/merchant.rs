//! `/admin/merchants`.

use axum::extract::State;
use axum::routing::{get, post};
use serde::Deserialize;

use super::auth::Staff;
use super::auth::grants::{MerchantRead, MerchantWrite};
use super::envelope;
use super::error::ApiError;
use super::idempotency::{Answer, Keyed, begin};
use super::json::{Action, Json, Nothing};
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::merchant::{self, MerchantPatch, NewMerchant};
use crate::service::{Context, Reply};
use wire::ids::MerchantId;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/merchants", post(create).get(list))
        .route("/admin/merchants/{merchant_id}", get(read).patch(patch))
        .route("/admin/merchants/{merchant_id}/approve", post(approve))
        .route("/admin/merchants/{merchant_id}/reject", post(reject))
}

async fn create(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewMerchant>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let created = merchant::create(&mut unit, request.body.0).await?;
    let reply = envelope::created(&created)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
}

async fn list(
    _: Staff<MerchantRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(filter): Query<Filter>,
) -> Result<Reply, ApiError> {
    let rows = merchant::list(&context, filter.status.as_deref(), page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn read(
    staff: Staff<MerchantRead>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
) -> Result<Reply, ApiError> {
    envelope::ok(&merchant::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    Json(change): Json<MerchantPatch>,
) -> Result<Reply, ApiError> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = merchant::patch(&mut unit, id, change).await?;
    unit.commit().await?;
    envelope::ok(&changed)
}

async fn approve(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Action<Nothing>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let approved = merchant::approve(&mut unit, id).await?;
    let reply = envelope::ok(&approved)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejection {
    reason: String,
}

async fn reject(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Json<Rejection>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let rejected = merchant::reject(&mut unit, id, request.body.0.reason).await?;
    let reply = envelope::ok(&rejected)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}
