//! `/admin/terminals`, and creating one under its outlet.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::shop::partner_name_file::{self, Authority, NamesTaken};
use service::shop::terminal::{self, NewTerminal, TerminalPatch, TerminalView};
use store::shop::terminal::Terminal;
use utoipa::IntoParams;
use wire::ids::{OutletId, TerminalId};

use crate::auth::Staff;
use crate::auth::grants::{TerminalRead, TerminalWrite};
use crate::csv::Csv;
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Json;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::qr_image::{Png, Svg};
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, InvalidState};

    Routes::of("Terminals")
        .post(
            "/admin/outlets/{outlet_id}/terminals",
            create,
            "Sets up a terminal in an outlet",
            &[],
        )
        .post(
            "/admin/terminals/partner-names",
            name_from_file,
            "Takes the acquirer's names of up to 1,000 terminals, their outlets and merchants from a CSV file, all or none",
            &[],
        )
        .get("/admin/terminals", list, "Terminals, newest first", &[])
        .get(
            "/admin/terminals/{terminal_id}",
            read,
            "One terminal, with the payload of its static QR",
            &[],
        )
        .patch(
            "/admin/terminals/{terminal_id}",
            patch,
            "Changes a terminal (merge patch)",
            &[InvalidState, DuplicateRequest],
        )
        .get(
            "/admin/terminals/{terminal_id}/qr.svg",
            qr_svg,
            "The static QR as a drawing",
            &[InvalidState],
        )
        .get(
            "/admin/terminals/{terminal_id}/qr.png",
            qr_png,
            "The static QR as a picture",
            &[InvalidState],
        )
}

async fn create(
    staff: Staff<TerminalWrite>,
    State(context): State<Context>,
    Id(outlet_id): Id<OutletId>,
    request: Keyed<Json<NewTerminal>>,
) -> Answer<Created<TerminalView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let created = terminal::create(&mut unit, outlet_id, request.body.0).await?;
    commit(unit, envelope::created(&created)?).await
}

#[derive(Deserialize, IntoParams)]
struct Filter {
    outlet_id: Option<OutletId>,
}

async fn name_from_file(
    staff: Staff<TerminalWrite>,
    State(context): State<Context>,
    request: Keyed<Csv>,
) -> Answer<Data<NamesTaken>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let (file, rows_max) = (&request.body.0, partner_name_file::ROWS_MAX);
    let taken = partner_name_file::import(&mut unit, file, rows_max, Authority::Client).await?;
    commit(unit, envelope::ok(&taken)?).await
}

async fn list(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(filter): Query<Filter>,
) -> Result<List<Terminal>, ApiError> {
    let rows = terminal::list(&context, staff.scope, filter.outlet_id, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn read(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<Data<TerminalView>, ApiError> {
    envelope::ok(&terminal::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<TerminalWrite>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
    Json(change): Json<TerminalPatch>,
) -> Answer<Data<TerminalView>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = terminal::patch(&mut unit, id, change).await?;
    commit(unit, envelope::ok(&changed)?).await
}

async fn qr_svg(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<Svg, ApiError> {
    let payload = terminal::static_qr_payload(&context, staff.scope, id).await?;
    Svg::of(&payload)
}

async fn qr_png(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<Png, ApiError> {
    let payload = terminal::static_qr_payload(&context, staff.scope, id).await?;
    Png::of(&payload)
}
