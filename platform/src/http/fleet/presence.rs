//! `/admin/devices/{device_id}/events`: when a device went online and offline, and why.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::DeviceId;

use crate::http::auth::Staff;
use crate::http::auth::grants::DeviceRead;
use crate::http::envelope::List;
use crate::http::error::ApiError;
use crate::http::page::{Cursor, PageQuery};
use crate::http::path::Id;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::fleet::presence;
use crate::store::fleet::presence::DeviceEvent;

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
