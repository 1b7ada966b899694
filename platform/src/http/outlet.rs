//! `/admin/outlets`, and creating one under its merchant.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::{MerchantId, OutletId};

use super::auth::Staff;
use super::auth::grants::{OutletRead, OutletWrite};
use super::envelope::{self, Created, Data, List};
use super::error::{ApiError, ErrorCode};
use super::idempotency::{Answer, Keyed, begin};
use super::json::Json;
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::Context;
use crate::service::outlet::{self, NewOutlet, OutletPatch};
use crate::store::Scope;
use crate::store::outlet::Outlet;

pub(super) fn routes() -> Routes {
    use ErrorCode::InvalidState;

    Routes::of("Outlets")
        .post(
            "/admin/merchants/{merchant_id}/outlets",
            create,
            "Opens an outlet of a merchant",
            &[],
        )
        .get("/admin/outlets", list, "Outlets, newest first", &[])
        .get("/admin/outlets/{outlet_id}", read, "One outlet", &[])
        .patch(
            "/admin/outlets/{outlet_id}",
            patch,
            "Changes an outlet (merge patch)",
            &[InvalidState],
        )
}

async fn create(
    staff: Staff<OutletWrite>,
    State(context): State<Context>,
    Id(merchant_id): Id<MerchantId>,
    request: Keyed<Json<NewOutlet>>,
) -> Answer<Created<Outlet>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let created = outlet::create(&mut unit, merchant_id, request.body.0).await?;
    let reply = envelope::created(&created)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}

#[derive(Deserialize, IntoParams)]
struct Filter {
    merchant_id: Option<MerchantId>,
}

async fn list(
    staff: Staff<OutletRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(filter): Query<Filter>,
) -> Result<List<Outlet>, ApiError> {
    let scope = filter.merchant_id.map_or(staff.scope, Scope::Merchant);
    let rows = outlet::list(&context, scope, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn read(
    staff: Staff<OutletRead>,
    State(context): State<Context>,
    Id(id): Id<OutletId>,
) -> Result<Data<Outlet>, ApiError> {
    envelope::ok(&outlet::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<OutletWrite>,
    State(context): State<Context>,
    Id(id): Id<OutletId>,
    Json(change): Json<OutletPatch>,
) -> Result<Data<Outlet>, ApiError> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = outlet::patch(&mut unit, id, change).await?;
    unit.commit().await?;
    envelope::ok(&changed)
}
