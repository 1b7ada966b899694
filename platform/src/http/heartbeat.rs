//! `/device/heartbeat`: a box on HTTP says that it is there, and hears what it would hear by MQTT.
//! `/admin/devices/{device_id}/heartbeats`: what arrived, by either way.

use axum::extract::State;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use wire::ids::DeviceId;
use wire::message::Heartbeat;

use super::auth::grants::DeviceRead;
use super::auth::{DeviceCaller, Staff};
use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::heartbeat::{self, Poll};
use crate::service::{Context, Error, Reply};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/device/heartbeat", post(create))
        .route("/admin/devices/{device_id}/heartbeats", get(list))
}

async fn create(
    device: DeviceCaller,
    State(context): State<Context>,
    Json(beat): Json<Heartbeat>,
) -> Result<Reply, ApiError> {
    device.must_be(beat.device_id)?;
    beat.validate()
        .map_err(|error| Error::field(error.field, error.problem))?;
    let poll: Poll = heartbeat::poll(&context, device.id, beat).await?;
    envelope::ok(&poll)
}

#[derive(Deserialize)]
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
) -> Result<Reply, ApiError> {
    let rows =
        heartbeat::list_of_device(&context, id, range.from, range.to, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.received_at,
        id: row.device_id.as_uuid(),
    })
}
