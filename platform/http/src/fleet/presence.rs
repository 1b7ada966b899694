//! `/admin/devices/{device_id}/events`: when a device went online and offline, and why.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::fleet::presence;
use store::fleet::presence::DeviceEvent;
use utoipa::IntoParams;
use wire::ids::DeviceId;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::List;
use crate::error::ApiError;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Presence").get(
        "/admin/devices/{device_id}/events",
        events,
        "When a box came and went, newest first",
        &[],
    )
}

#[derive(Deserialize, IntoParams)]
struct EventQuery {
    /// `online`, `offline`, …
    kind: Option<String>,
}

async fn events(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
    Query(query): Query<EventQuery>,
) -> Result<List<DeviceEvent>, ApiError> {
    let rows = presence::events(&context, id, query.kind.as_deref(), page.store_page()).await?;
    page.reply(rows, |row| Cursor::numbered(row.at, row.id))
}
