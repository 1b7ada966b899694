//! `/admin/audit-logs`: who changed what.

use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use uuid::Uuid;

use super::auth::Staff;
use super::auth::grants::AuditRead;
use super::envelope;
use super::error::ApiError;
use super::page::{Cursor, PageQuery};
use super::query::Query;
use super::routes::Routes;
use crate::service::{Context, Reply, audit};
use crate::store::audit::Filter;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/audit-logs", get(list))
        .route("/admin/audit-logs/head", get(head))
}

#[derive(Deserialize)]
struct ListQuery {
    entity: Option<String>,
    actor: Option<String>,
}

async fn list(
    _: Staff<AuditRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<Reply, ApiError> {
    let filter = Filter {
        entity: query.entity,
        actor: query.actor,
    };
    let rows = audit::list(&context, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.at,
        // Rows are numbered; the cursor carries the number as a UUID.
        id: Uuid::from_u128(row.id.unsigned_abs().into()),
    })
}

async fn head(_: Staff<AuditRead>, State(context): State<Context>) -> Result<Reply, ApiError> {
    envelope::ok(&audit::head(&context).await?)
}
