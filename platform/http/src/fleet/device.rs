//! `/admin/devices`: registering, changing and binding devices, and their notifications.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::fleet::binding;
use service::fleet::device::{self, DevicePatch, NewDevice, Registered};
use service::fleet::password::{self, MqttLogin};
use service::payment::notification;
use store::Period;
use store::fleet::device_view::{DeviceView, Filter};
use store::payment::notification::Notification;
use utoipa::{IntoParams, ToSchema};
use wire::ids::{DeviceId, MerchantId, TerminalId};

use crate::auth::Staff;
use crate::auth::grants::{DeviceRead, DeviceWrite};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit, commit_without};
use crate::json::{Action, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

/// What is shown once: a repeated answer has null in its place.
pub(super) const SECRETS: [&str; 3] = ["activation_code", "password", "product_secret"];

pub(super) fn routes() -> Routes {
    use ErrorCode::{DeviceNotBound, InvalidState, TerminalNotFound};

    Routes::of("Devices")
        .post(
            "/admin/devices",
            create,
            "Registers a box; its activation code or its password is in this answer only",
            &[],
        )
        .get("/admin/devices", list, "Boxes, newest first", &[])
        .get(
            "/admin/devices/{device_id}",
            read,
            "One box, with its binding, presence and certificate",
            &[],
        )
        .patch(
            "/admin/devices/{device_id}",
            patch,
            "Changes a box; suspended and retired end its session and credentials",
            &[InvalidState],
        )
        .post(
            "/admin/devices/{device_id}/activation-code",
            renew_activation_code,
            "Revokes the credentials of a box and gives a new activation code",
            &[InvalidState],
        )
        .post(
            "/admin/devices/{device_id}/mqtt-credential",
            renew_password,
            "Gives another maker's box a new password; the old one ends at its first use, or after 24 hours",
            &[InvalidState],
        )
        .post(
            "/admin/devices/{device_id}/bind",
            bind,
            "Puts a box at a terminal",
            &[InvalidState, TerminalNotFound],
        )
        .post(
            "/admin/devices/{device_id}/unbind",
            unbind,
            "Takes a box from its terminal",
            &[InvalidState, DeviceNotBound],
        )
        .get(
            "/admin/devices/{device_id}/notifications",
            notifications,
            "What a box was told of payments, newest first",
            &[],
        )
}

/// The activation code is in the first answer and null in every repetition.
async fn create(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewDevice>>,
) -> Answer<Created<Registered>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let registered = device::create(&mut unit, request.body.0).await?;
    commit_without(unit, envelope::created(&registered)?, &SECRETS).await
}

/// The code is in the first answer and null in every repetition.
async fn renew_activation_code(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Created<Registered>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let registered = device::renew_activation_code(&mut unit, id).await?;
    commit_without(unit, envelope::created(&registered)?, &SECRETS).await
}

/// The password is in the first answer and null in every repetition.
async fn renew_password(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Created<MqttLogin>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let login = password::renew(&mut unit, id).await?;
    commit_without(unit, envelope::created(&login)?, &SECRETS).await
}

#[derive(Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// A part of the serial number, or the id.
    q: Option<String>,
    status: Option<String>,
    online: Option<bool>,
    model: Option<String>,
    serial_number: Option<String>,
    firmware_version: Option<String>,
    tag: Option<String>,
    terminal_id: Option<TerminalId>,
    merchant_id: Option<MerchantId>,
}

impl ListQuery {
    /// Which boxes are asked for.
    pub(super) fn of(self, period: Period) -> Filter {
        Filter {
            status: self.status,
            online: self.online,
            model: self.model,
            serial_number: self.serial_number,
            terminal_id: self.terminal_id,
            merchant_id: self.merchant_id,
            firmware_version: self.firmware_version,
            tag: self.tag,
            q: self.q,
            period,
        }
    }
}

async fn list(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<DeviceView>, ApiError> {
    let filter = query.of(period);
    let rows = device::list(&context, staff.scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn read(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
) -> Result<Data<DeviceView>, ApiError> {
    envelope::ok(&device::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    Json(change): Json<DevicePatch>,
) -> Answer<Data<DeviceView>> {
    let mut unit = context.begin(staff.actor()).await?;
    let changed = device::patch(&mut unit, id, change).await?;
    commit(unit, envelope::ok(&changed)?).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Bind {
    terminal_id: TerminalId,
}

async fn bind(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Json<Bind>>,
) -> Answer<Data<DeviceView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let bound = binding::bind(&mut unit, id, request.body.0.terminal_id).await?;
    commit(unit, envelope::ok(&bound)?).await
}

async fn unbind(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<DeviceView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let unbound = binding::unbind(&mut unit, id).await?;
    commit(unit, envelope::ok(&unbound)?).await
}

async fn notifications(
    staff: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
) -> Result<List<Notification>, ApiError> {
    let rows = notification::list_of_device(&context, staff.scope, id, page.store_page()).await?;
    page.reply(rows, |row| {
        Cursor::new(row.created_at, row.event_id.as_uuid())
    })
}
