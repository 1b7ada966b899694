//! `/device/heartbeat`: a box on HTTP says that it is there, and hears what it would hear by MQTT.
//! `/admin/devices/{device_id}/heartbeats`: what arrived, by either way.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::DeviceId;
use wire::message::Heartbeat;

use crate::http::auth::grants::DeviceRead;
use crate::http::auth::{DeviceCaller, Staff};
use crate::http::envelope::{self, Data, List};
use crate::http::error::ApiError;
use crate::http::json::Json;
use crate::http::page::{Cursor, PageQuery};
use crate::http::path::Id;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::fleet::heartbeat::{self, Poll};
use crate::service::{Context, Error};
use crate::store::fleet::heartbeat::Heartbeat as Kept;

pub(super) fn routes() -> Routes {
    Routes::of("Heartbeats")
        .post(
            "/device/heartbeat",
            create,
            "A box says that it is there, and hears what it would hear by MQTT",
            &[],
        )
        .get(
            "/admin/devices/{device_id}/heartbeats",
            list,
            "Heartbeats of a box, newest first",
            &[],
        )
}

async fn create(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(beat): Json<Heartbeat>,
) -> Result<Data<Poll>, ApiError> {
    device.must_be(beat.device_id)?;
    beat.validate()
        .map_err(|error| Error::field(error.field, error.problem))?;
    let poll: Poll = heartbeat::poll(&context, device.id, beat).await?;
    envelope::ok(&poll)
}

#[derive(Deserialize, IntoParams)]
struct Range {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
    Query(range): Query<Range>,
) -> Result<List<Kept>, ApiError> {
    let rows =
        heartbeat::list_of_device(&context, id, range.from, range.to, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.received_at,
        id: row.device_id.as_uuid(),
    })
}
