//! `/device/config`: a device on HTTP reads its configuration and acknowledges it. `/admin/…/config`: what operators set,
//! for single devices and in layers above.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::fleet::config::{self, Current, Patch, Status, View};
use service::fleet::config_layer::{self, Owner, View as LayerView};
use store::Scope;
use store::fleet::config::Drift;
use utoipa::IntoParams;
use wire::ids::{DeviceId, MerchantId, OutletId};
use wire::message::ConfigAck;

use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::auth::{DeviceCaller, Staff};
use crate::csv::CsvFile;
use crate::envelope::{self, Accepted, Data, List};
use crate::error::ApiError;
use crate::from_device::FromDevice;
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Configuration")
        .get(
            "/device/config",
            read,
            "The configuration that a box should have",
            &[],
        )
        .post(
            "/device/config/ack",
            acknowledge,
            "A box says what became of a configuration",
            &[],
        )
        .get(
            "/admin/devices/{device_id}/config",
            read_device,
            "What a box should be set to and why, what it reported, and where they differ",
            &[],
        )
        .patch(
            "/admin/devices/{device_id}/config",
            patch_device,
            "Changes a box's own layer (merge patch; null removes a key)",
            &[],
        )
        .get(
            "/admin/devices/{device_id}/config/status",
            status,
            "Which version a box should have, has applied, has rejected",
            &[],
        )
        .post(
            "/admin/devices/{device_id}/config/retry-push",
            retry_push,
            "Pushes a box's configuration again",
            &[],
        )
        .get(
            "/admin/config/fleet",
            read_fleet,
            "The layer of every box",
            &[],
        )
        .patch(
            "/admin/config/fleet",
            patch_fleet,
            "Changes the layer of every box; they follow in batches",
            &[],
        )
        .get(
            "/admin/merchants/{merchant_id}/config",
            read_merchant,
            "The layer of a merchant's boxes",
            &[],
        )
        .patch(
            "/admin/merchants/{merchant_id}/config",
            patch_merchant,
            "Changes the layer of a merchant's boxes; they follow in batches",
            &[],
        )
        .get(
            "/admin/outlets/{outlet_id}/config",
            read_outlet,
            "The layer of an outlet's boxes",
            &[],
        )
        .patch(
            "/admin/outlets/{outlet_id}/config",
            patch_outlet,
            "Changes the layer of an outlet's boxes; they follow in batches",
            &[],
        )
        .get(
            "/admin/config/drift",
            drift,
            "Active boxes that are not set to what they should be",
            &[],
        )
        .get(
            "/admin/config/drift.csv",
            download_drift,
            "Active boxes that are not set to what they should be, as a CSV file",
            &[],
        )
}

async fn read(
    device: DeviceCaller,
    State(context): State<Context>,
) -> Result<Data<Current>, ApiError> {
    envelope::ok(&config::current(&context, device.id).await?)
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(body): Json<FromDevice<ConfigAck>>,
) -> Result<Data<Status>, ApiError> {
    let ack = body.of(&device)?;
    envelope::ok(&config::acknowledge_one(&context, device.id, &ack).await?)
}

async fn read_device(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
) -> Result<Data<View>, ApiError> {
    envelope::ok(&config::view(&context, id).await?)
}

async fn patch_device(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    Json(change): Json<Patch>,
) -> Answer<Data<View>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = config::patch(&mut unit, id, &change).await?;
    commit(unit, envelope::ok(&changed)?).await
}

async fn status(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
) -> Result<Data<Status>, ApiError> {
    envelope::ok(&config::status(&context, id).await?)
}

async fn retry_push(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Accepted<Status>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let reply = envelope::accepted(&config::retry_push(&mut unit, id).await?)?;
    commit(unit, reply).await
}

async fn read_fleet(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
) -> Result<Data<LayerView>, ApiError> {
    envelope::ok(&config_layer::get(&context, Owner::Fleet).await?)
}

async fn read_merchant(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
) -> Result<Data<LayerView>, ApiError> {
    envelope::ok(&config_layer::get(&context, Owner::Merchant(id)).await?)
}

async fn read_outlet(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<OutletId>,
) -> Result<Data<LayerView>, ApiError> {
    envelope::ok(&config_layer::get(&context, Owner::Outlet(id)).await?)
}

async fn patch_fleet(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Json(change): Json<Patch>,
) -> Answer<Data<LayerView>> {
    patch_layer(&staff, &context, Owner::Fleet, &change).await
}

async fn patch_merchant(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    Json(change): Json<Patch>,
) -> Answer<Data<LayerView>> {
    patch_layer(&staff, &context, Owner::Merchant(id), &change).await
}

async fn patch_outlet(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<OutletId>,
    Json(change): Json<Patch>,
) -> Answer<Data<LayerView>> {
    patch_layer(&staff, &context, Owner::Outlet(id), &change).await
}

async fn patch_layer(
    staff: &Staff<DeviceWrite>,
    context: &Context,
    owner: Owner,
    change: &Patch,
) -> Answer<Data<LayerView>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = config_layer::patch(&mut unit, owner, change).await?;
    commit(unit, envelope::ok(&changed)?).await
}

#[derive(Deserialize, IntoParams)]
struct DriftQuery {
    /// `pending`, `rejected` or `failed`.
    status: Option<String>,
    merchant_id: Option<MerchantId>,
}

async fn drift(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<DriftQuery>,
) -> Result<List<Drift>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let rows = config::drift(&context, scope, query.status.as_deref(), page.store_page()).await?;
    page.reply(rows, |row| {
        Cursor::new(row.updated_at, row.device_id.as_uuid())
    })
}

async fn download_drift(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    Query(query): Query<DriftQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    drift_file(&context, scope, query.status, language.language()).await
}

/// All boxes that a list of drift has.
///
/// # Errors
/// A status that does not exist.
pub async fn drift_file(
    context: &Context,
    scope: Scope,
    status: Option<String>,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("konfigurasi-berbeda", "configuration-drift"),
        columns: &[
            ("ID soundbox", "device_id"),
            ("Nomor seri", "serial_number"),
            ("Status", "status"),
            ("Versi", "version"),
            ("Versi diterapkan", "applied_version"),
            ("Versi ditolak", "rejected_version"),
            ("Alasan", "rejected_reason"),
            ("Online", "online"),
            ("Sejak (WIB)", "updated_at_wib"),
        ],
        cells: |row: &Drift| {
            vec![
                row.device_id.to_string(),
                row.serial_number.clone(),
                row.status.clone(),
                row.version.to_string(),
                cell(row.applied_version),
                cell(row.rejected_version),
                cell(row.rejected_reason.as_ref()),
                row.online.to_string(),
                wib::format(row.updated_at),
            ]
        },
        place: |row| (row.updated_at, row.device_id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), scope, status), |asked, page| {
            async move { config::drift(&asked.0, asked.1, asked.2.as_deref(), page).await }.boxed()
        })
        .await
}
