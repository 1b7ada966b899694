//! `/admin/firmware`: the catalogue, and roll-outs.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::fleet::bulk_command::View;
use service::fleet::firmware::{self, NewFirmware, NewRollout};
use store::fleet::firmware::Firmware;
use utoipa::IntoParams;
use wire::ids::FirmwareId;

use super::bulk_command::{StatusQuery, cursor};
use crate::auth::Staff;
use crate::auth::grants::{FirmwareRead, FirmwareWrite};
use crate::csv::CsvFile;
use crate::envelope::{self, Created, Data, List};
use crate::error::ApiError;
use crate::idempotency::{Answer, Keyed, MustKey, begin, commit};
use crate::json::Json;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Firmware")
        .post(
            "/admin/firmware",
            create,
            "Adds a firmware to the catalogue",
            &[],
        )
        .get(
            "/admin/firmware",
            list,
            "The catalogue, newest first",
            &[],
        )
        .get(
            "/admin/firmware.csv",
            download,
            "All of the catalogue that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/firmware/{firmware_id}",
            read,
            "One firmware",
            &[],
        )
        .post(
            "/admin/firmware/{firmware_id}/rollouts",
            roll_out,
            "Updates boxes of its model step by step: a bulk command that also watches whether they are still heard",
            &[],
        )
        .get(
            "/admin/firmware/{firmware_id}/rollouts",
            rollouts,
            "Its roll-outs, newest first",
            &[],
        )
}

async fn create(
    staff: Staff<FirmwareWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewFirmware>>,
) -> Answer<Created<Firmware>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::created(&firmware::create(&mut unit, request.body.0).await?)?;
    commit(unit, reply).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    model: Option<String>,
    version: Option<String>,
}

async fn list(
    _: Staff<FirmwareRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Firmware>, ApiError> {
    let (model, version) = (query.model.as_deref(), query.version.as_deref());
    let rows = firmware::list(&context, model, version, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    _: Staff<FirmwareRead>,
    State(context): State<Context>,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    firmware_file(&context, query.model, query.version, language.language()).await
}

/// All firmware that a list has.
///
/// # Errors
/// The database's.
pub async fn firmware_file(
    context: &Context,
    model: Option<String>,
    version: Option<String>,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("firmware", "firmware"),
        columns: &[
            ("Dibuat (WIB)", "created_at_wib"),
            ("ID", "firmware_id"),
            ("Versi", "version"),
            ("Model", "model"),
            ("Alamat", "url"),
            ("SHA-256", "sha256"),
            ("Catatan", "notes"),
        ],
        cells: |row: &Firmware| {
            vec![
                wib::format(row.created_at),
                row.id.to_string(),
                row.version.clone(),
                row.model.clone(),
                row.url.clone(),
                row.sha256.clone(),
                cell(row.notes.as_ref()),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    let asked = (context.clone(), model, version);
    shape
        .file(language, asked, |asked, page| {
            async move {
                firmware::list(&asked.0, asked.1.as_deref(), asked.2.as_deref(), page).await
            }
            .boxed()
        })
        .await
}

async fn read(
    _: Staff<FirmwareRead>,
    State(context): State<Context>,
    Id(id): Id<FirmwareId>,
) -> Result<Data<Firmware>, ApiError> {
    envelope::ok(&firmware::get(&context, id).await?)
}

async fn roll_out(
    staff: Staff<FirmwareWrite>,
    State(context): State<Context>,
    Id(id): Id<FirmwareId>,
    request: MustKey<Json<NewRollout>>,
) -> Answer<Created<View>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::created(&firmware::roll_out(&mut unit, id, request.body.0).await?)?;
    commit(unit, reply).await
}

async fn rollouts(
    _: Staff<FirmwareRead>,
    State(context): State<Context>,
    Id(id): Id<FirmwareId>,
    page: PageQuery,
    Query(query): Query<StatusQuery>,
) -> Result<List<View>, ApiError> {
    let status = query.status.as_deref();
    let rows = firmware::rollouts(&context, id, status, page.store_page()).await?;
    page.reply(rows, cursor)
}
