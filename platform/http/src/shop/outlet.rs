//! `/admin/outlets`, and creating one under its merchant.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::shop::outlet::{self, NewOutlet, OutletPatch};
use store::shop::outlet::Outlet;
use utoipa::IntoParams;
use wire::ids::{MerchantId, OutletId};

use crate::auth::Staff;
use crate::auth::grants::{OutletRead, OutletWrite};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Json;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, InvalidState};

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
            &[InvalidState, DuplicateRequest],
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
    commit(unit, envelope::created(&created)?).await
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
    let scope = staff.scope.narrowed_to(filter.merchant_id);
    let rows = outlet::list(&context, scope, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
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
) -> Answer<Data<Outlet>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = outlet::patch(&mut unit, id, change).await?;
    commit(unit, envelope::ok(&changed)?).await
}
