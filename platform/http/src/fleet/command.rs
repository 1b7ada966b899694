//! `/admin/devices/{device_id}/commands`: commands to devices; `/device/commands/ack`: a device on HTTP acknowledges one.

use axum::extract::State;
use serde::Deserialize;
use service::fleet::command::{self, NewCommand};
use service::money::approval;
use service::{Context, Error, Noun};
use store::fleet::command::Command;
use utoipa::IntoParams;
use wire::ids::{CommandId, DeviceId};
use wire::message::CommandAck;

use crate::auth::grants::{CommandRead, CommandWrite};
use crate::auth::{DeviceCaller, Staff};
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, MustKey, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{CommandNotFound, DeviceCapabilityNotSupported, DeviceNotBound, InvalidState};

    Routes::of("Commands")
        .post(
            "/admin/devices/{device_id}/commands",
            create,
            "Gives a box an order; 202 when another person must confirm it: a free text, where two people are needed",
            &[InvalidState, DeviceCapabilityNotSupported, DeviceNotBound],
        )
        .get(
            "/admin/devices/{device_id}/commands",
            list,
            "Orders to a box, newest first",
            &[],
        )
        .get(
            "/admin/devices/{device_id}/commands/{command_id}",
            read,
            "One order",
            &[],
        )
        .post(
            "/admin/devices/{device_id}/commands/{command_id}/cancel",
            cancel,
            "Takes an order back, if it has not ended",
            &[InvalidState],
        )
        .post(
            "/device/commands/ack",
            acknowledge,
            "A box says how an order ended",
            &[CommandNotFound],
        )
}

async fn create(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: MustKey<Json<NewCommand>>,
) -> Answer<DoneOrProposed<Created<Command>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::create_command(&mut unit, id, request.body.0).await?;
    settle(unit, outcome, &[], envelope::created).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

async fn list(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Command>, ApiError> {
    let filter = command::filter(query.status.as_deref(), query.kind.as_deref())?;
    let rows = command::list_of_device(&context, id, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn read(
    _: Staff<CommandRead>,
    State(context): State<Context>,
    Id(device_id): Id<DeviceId>,
    Id(id): Id<CommandId>,
) -> Result<Data<Command>, ApiError> {
    envelope::ok(&command::get(&context, device_id, id).await?)
}

async fn cancel(
    staff: Staff<CommandWrite>,
    State(context): State<Context>,
    Id(device_id): Id<DeviceId>,
    Id(id): Id<CommandId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<Command>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let cancelled = command::cancel(&mut unit, device_id, id).await?;
    commit(unit, envelope::ok(&cancelled)?).await
}

async fn acknowledge(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(ack): Json<CommandAck>,
) -> Result<Data<Command>, ApiError> {
    device.must_be(ack.device_id)?;
    let known = command::acknowledge(&context, device.id, &ack).await?;
    envelope::ok(&known.ok_or(Error::NotFound(Noun::Command))?)
}
