//! `/device/heartbeat`: the heartbeat of a device on HTTP, answered with what it would receive by MQTT.
//! `/admin/devices/{device_id}/heartbeats`: the heartbeats that arrived, by both protocols.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use service::Context;
use service::fleet::poll::{self, Poll};
use service::fleet::{heartbeat, heartbeat_hour};
use store::fleet::heartbeat::Heartbeat as Stored;
use store::fleet::heartbeat_hour::HeartbeatHour;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use wire::ids::DeviceId;
use wire::message::Heartbeat;

use crate::auth::grants::DeviceRead;
use crate::auth::{DeviceCaller, Staff};
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::json::Json;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Heartbeats")
        .post(
            "/device/heartbeat",
            create,
            "A box says that it is there, and hears what it would hear by MQTT; with `wait`, as soon as there is something",
            &[],
        )
        .get(
            "/admin/devices/{device_id}/heartbeats",
            list,
            "Heartbeats of a box, newest first, one by one or by the hour",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct Wait {
    /// For how many seconds the answer may be held back while there is nothing to tell: 0 to 25, and never more.
    wait: Option<u32>,
}

async fn create(
    device: DeviceCaller,
    State(context): State<Context>,
    Query(query): Query<Wait>,
    Json(beat): Json<Heartbeat>,
) -> Result<Data<Poll>, ApiError> {
    device.must_be(beat.device_id)?;
    let longest = context.settings().long_poll_max;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).into()).min(longest);
    let deadline = Instant::now() + wait;
    // Before the first read of the database, so that no commit in between is missed.
    let long_poll = poll::enter(&context, device.id, wait);
    poll::take(&context, device.id, beat).await?;
    let due = poll::collect(&context, device.id, long_poll, deadline, || {
        device.still_may(&context)
    });
    envelope::ok(&due.await?)
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// `raw` (each beat, for as long as they are kept) or `hour` (what an hour of them amounts to, for longer).
    #[param(inline)]
    resolution: Option<Resolution>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Resolution {
    #[default]
    Raw,
    Hour,
}

/// A line of the list, by its resolution.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum HeartbeatRow {
    Beat(Stored),
    Hour(HeartbeatHour),
}

impl HeartbeatRow {
    fn cursor(&self) -> Cursor {
        let (created_at, device_id) = match self {
            Self::Beat(beat) => (beat.received_at, beat.device_id),
            Self::Hour(hour) => (hour.hour, hour.device_id),
        };
        Cursor::new(created_at, device_id.as_uuid())
    }
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<HeartbeatRow>, ApiError> {
    let wanted = page.store_page();
    let rows: Vec<HeartbeatRow> = match query.resolution.unwrap_or_default() {
        Resolution::Raw => heartbeat::list_of_device(&context, id, period.from, period.to, wanted)
            .await?
            .into_iter()
            .map(HeartbeatRow::Beat)
            .collect(),
        Resolution::Hour => {
            let range = heartbeat_hour::Range {
                from: period.from,
                to: period.to,
            };
            heartbeat_hour::list_of_device(&context, id, range, wanted)
                .await?
                .into_iter()
                .map(HeartbeatRow::Hour)
                .collect()
        }
    };
    page.reply(rows, HeartbeatRow::cursor)
}
