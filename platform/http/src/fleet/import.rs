//! `/admin/devices/import` and `/admin/devices/export.csv`: devices as files.

use axum::body::Bytes;
use axum::extract::State;
use service::Context;
use service::fleet::device;
use service::fleet::import::{self, Import};
use store::fleet::device_view::{DeviceView, Filter};
use store::{Page, Scope};
use uuid::Uuid;
use wire::ids::{MerchantId, OutletId, TerminalId};

use super::device::{ListQuery, SECRETS};
use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::csv::{Csv, CsvFile, plain};
use crate::envelope::{self, Created};
use crate::error::ApiError;
use crate::idempotency::{Answer, Keyed, begin, commit_without};
use crate::query::Query;
use crate::routes::Routes;

/// How many boxes of an export are read at once.
const EXPORT_PAGE: i64 = 500;
const EXPORT_COLUMNS: [&str; 17] = [
    "id",
    "serial_number",
    "model",
    "capabilities",
    "communication_mode",
    "status",
    "tags",
    "merchant_id",
    "outlet_id",
    "terminal_id",
    "online",
    "last_seen_at",
    "firmware_version",
    "battery_level",
    "network_strength",
    "created_at",
    "activated_at",
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
    Query(query): Query<ListQuery>,
) -> Result<CsvFile, ApiError> {
    let start = Export {
        context,
        scope: staff.scope,
        filter: query.into(),
        position: Position::Head,
    };
    let parts = futures_util::stream::try_unfold(start, Export::next);
    Ok(CsvFile::of("attachment; filename=\"devices.csv\"", parts))
}

/// How far an export is.
enum Position {
    Head,
    After(Option<(chrono::DateTime<chrono::Utc>, Uuid)>),
    End,
}

/// An export under way. It holds no connection while its reader is slow.
struct Export {
    context: Context,
    scope: Scope,
    filter: Filter,
    position: Position,
}

impl Export {
    async fn next(mut self) -> anyhow::Result<Option<(Bytes, Self)>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        match self.position {
            Position::End => return Ok(None),
            Position::Head => {
                writer.write_record(EXPORT_COLUMNS)?;
                self.position = Position::After(None);
            }
            Position::After(after) => {
                let page = Page {
                    limit: EXPORT_PAGE,
                    after,
                };
                let rows = device::list(&self.context, self.scope, &self.filter, page).await?;
                for row in &rows {
                    writer.write_record(cells(row))?;
                }
                let full = i64::try_from(rows.len())? == EXPORT_PAGE;
                self.position = match rows.last().filter(|_| full) {
                    Some(last) => Position::After(Some((last.created_at, last.id.as_uuid()))),
                    None => Position::End,
                };
            }
        }
        let part = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(Some((part.into(), self)))
    }
}

fn cells(device: &DeviceView) -> [String; 17] {
    fn or_empty(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let time = |time: Option<chrono::DateTime<chrono::Utc>>| {
        or_empty(time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
    };
    let capabilities: Vec<&str> = device.capabilities.iter().map(|it| it.as_str()).collect();
    let binding = device.binding.as_ref();
    let merchant: Option<MerchantId> = binding.map(|binding| binding.merchant_id);
    let outlet: Option<OutletId> = binding.map(|binding| binding.outlet_id);
    let terminal: Option<TerminalId> = binding.map(|binding| binding.terminal_id);
    [
        device.id.to_string(),
        plain(&device.serial_number),
        plain(&device.model),
        capabilities.join(";"),
        device.communication_mode.to_string(),
        device.status.to_string(),
        plain(&device.tags.join(";")),
        or_empty(merchant),
        or_empty(outlet),
        or_empty(terminal),
        device.online.to_string(),
        time(device.last_seen_at),
        plain(device.firmware_version.as_deref().unwrap_or_default()),
        or_empty(device.battery_level),
        or_empty(device.network_strength),
        time(Some(device.created_at)),
        time(device.activated_at),
    ]
}
