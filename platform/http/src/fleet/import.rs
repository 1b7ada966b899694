//! `/admin/devices/import` and `/admin/devices/export.csv`: devices as files.

use axum::extract::State;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt as _;
use service::Context;
use service::fleet::device;
use service::fleet::import::{self, Import};
use store::Scope;
use store::fleet::device_view::{DeviceView, Filter};

use super::device::{ListQuery, SECRETS};
use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::csv::{Csv, CsvFile};
use crate::envelope::{self, Created};
use crate::error::ApiError;
use crate::idempotency::{Answer, Keyed, begin, commit_without};
use crate::language::Language;
use crate::list_file::{Shape, cell};
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

/// Indonesian and English names of the columns of an export.
const EXPORT_COLUMNS: [(&str, &str); 17] = [
    ("ID soundbox", "id"),
    ("Nomor seri", "serial_number"),
    ("Model", "model"),
    ("Kemampuan", "capabilities"),
    ("Cara tersambung", "communication_mode"),
    ("Status", "status"),
    ("Label", "tags"),
    ("ID merchant", "merchant_id"),
    ("ID outlet", "outlet_id"),
    ("ID terminal", "terminal_id"),
    ("Online", "online"),
    ("Terakhir terhubung", "last_seen_at"),
    ("Firmware", "firmware_version"),
    ("Baterai", "battery_level"),
    ("Sinyal", "network_strength"),
    ("Dibuat", "created_at"),
    ("Diaktifkan", "activated_at"),
];

pub(super) fn routes() -> Routes {
    Routes::of("Devices")
        .post(
            "/admin/devices/import",
            from_file,
            "Registers up to 1,000 boxes from a CSV file, all or none; their activation codes and passwords are in this answer only",
            &[],
        )
        .get(
            "/admin/devices/export.csv",
            to_file,
            "All boxes that a list with these filters has, as a CSV file, newest first",
            &[],
        )
}

async fn from_file(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    request: Keyed<Csv>,
) -> Answer<Created<Import>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let imported = import::import(&mut unit, &request.body.0, import::ROWS_MAX).await?;
    commit_without(unit, envelope::created(&imported)?, &SECRETS).await
}

async fn to_file(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<CsvFile, ApiError> {
    // Its columns have the names of the fields, for the file can be read by a program and imported elsewhere.
    device_file(&context, staff.scope, query.of(period), Language::En).await
}

/// All boxes that a list has.
///
/// # Errors
/// The database's.
pub async fn device_file(
    context: &Context,
    scope: Scope,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("soundbox", "devices"),
        columns: &EXPORT_COLUMNS,
        cells,
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    let asked = (context.clone(), scope, filter);
    shape
        .file(language, asked, |asked, page| {
            async move { device::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
}

fn cells(device: &DeviceView) -> Vec<String> {
    let time = |time: Option<DateTime<Utc>>| {
        cell(time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)))
    };
    let capabilities: Vec<&str> = device.capabilities.iter().map(|it| it.as_str()).collect();
    let binding = device.binding.as_ref();
    vec![
        device.id.to_string(),
        device.serial_number.clone(),
        device.model.clone(),
        capabilities.join(";"),
        device.communication_mode.to_string(),
        device.status.to_string(),
        device.tags.join(";"),
        cell(binding.map(|binding| binding.merchant_id)),
        cell(binding.map(|binding| binding.outlet_id)),
        cell(binding.map(|binding| binding.terminal_id)),
        device.online.to_string(),
        time(device.last_seen_at),
        cell(device.firmware_version.as_ref()),
        cell(device.battery_level),
        cell(device.network_strength),
        time(Some(device.created_at)),
        time(device.activated_at),
    ]
}
