//! `/admin/settlements`, and a merchant's own under `/merchant/settlements`.

use axum::extract::State;
use axum::routing::{get, post};
use serde::Deserialize;
use wire::ids::{MerchantId, SettlementId};

use super::auth::Staff;
use super::auth::grants::{PortalRead, SettlementRead, SettlementWrite};
use super::envelope;
use super::error::ApiError;
use super::idempotency::{Answer, MustKey, begin};
use super::json::Action;
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::settlement::{self, Run, SettlementView};
use crate::service::{Context, Reply};
use crate::store::Scope;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/settlements", get(list))
        .route("/admin/settlements/run", post(run))
        .route("/admin/settlements/{settlement_id}", get(read))
        .route("/merchant/settlements", get(list_own))
        .route("/merchant/settlements/{settlement_id}", get(read_own))
}

async fn run(
    staff: Staff<SettlementWrite>,
    State(context): State<Context>,
    request: MustKey<Action<Run>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), Some(request.key)).await?;
    let outcome = settlement::run(&mut unit, request.body.0).await?;
    let reply = envelope::ok(&outcome)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}

#[derive(Deserialize)]
struct ListQuery {
    status: Option<String>,
    merchant_id: Option<MerchantId>,
}

async fn list(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<Reply, ApiError> {
    let scope = query.merchant_id.map_or(staff.scope, Scope::Merchant);
    let rows =
        settlement::list(&context, scope, query.status.as_deref(), page.store_page()).await?;
    page.reply(rows, place)
}

async fn read(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
) -> Result<Reply, ApiError> {
    envelope::ok(&settlement::get(&context, staff.scope, id).await?)
}

#[derive(Deserialize)]
struct OwnQuery {
    status: Option<String>,
}

async fn list_own(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<OwnQuery>,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let rows =
        settlement::list(&context, scope, query.status.as_deref(), page.store_page()).await?;
    page.reply(rows, place)
}

async fn read_own(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    envelope::ok(&settlement::get(&context, scope, id).await?)
}

fn place(row: &SettlementView) -> Cursor {
    Cursor {
        created_at: row.settlement.created_at,
        id: row.settlement.id.as_uuid(),
    }
}
