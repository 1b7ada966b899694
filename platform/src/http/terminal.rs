//! `/admin/terminals`, and creating one under its outlet.

use axum::extract::State;
use axum::routing::{get, post};
use serde::Deserialize;
use wire::ids::{OutletId, TerminalId};

use super::auth::Staff;
use super::auth::grants::{TerminalRead, TerminalWrite};
use super::envelope;
use super::error::ApiError;
use super::idempotency::{Answer, Keyed, begin};
use super::json::Json;
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::qr_image::QrImage;
use super::query::Query;
use super::routes::Routes;
use crate::service::terminal::{self, NewTerminal, TerminalPatch};
use crate::service::{Context, Reply};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/outlets/{outlet_id}/terminals", post(create))
        .route("/admin/terminals", get(list))
        .route("/admin/terminals/{terminal_id}", get(read).patch(patch))
        .route("/admin/terminals/{terminal_id}/qr.svg", get(qr_svg))
        .route("/admin/terminals/{terminal_id}/qr.png", get(qr_png))
}

async fn create(
    staff: Staff<TerminalWrite>,
    State(context): State<Context>,
    Id(outlet_id): Id<OutletId>,
    request: Keyed<Json<NewTerminal>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let created = terminal::create(&mut unit, outlet_id, request.body.0).await?;
    let reply = envelope::created(&created)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}

#[derive(Deserialize)]
struct Filter {
    outlet_id: Option<OutletId>,
}

async fn list(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(filter): Query<Filter>,
) -> Result<Reply, ApiError> {
    let rows = terminal::list(&context, staff.scope, filter.outlet_id, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn read(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<Reply, ApiError> {
    envelope::ok(&terminal::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<TerminalWrite>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
    Json(change): Json<TerminalPatch>,
) -> Result<Reply, ApiError> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = terminal::patch(&mut unit, id, change).await?;
    unit.commit().await?;
    envelope::ok(&changed)
}

async fn qr_svg(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<QrImage, ApiError> {
    let payload = terminal::static_qr_payload(&context, staff.scope, id).await?;
    QrImage::svg(&payload)
}

async fn qr_png(
    staff: Staff<TerminalRead>,
    State(context): State<Context>,
    Id(id): Id<TerminalId>,
) -> Result<QrImage, ApiError> {
    let payload = terminal::static_qr_payload(&context, staff.scope, id).await?;
    QrImage::png(&payload)
}
