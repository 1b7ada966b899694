//! `/admin/audit-logs`: who changed what.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::people::audit::{self, Head};
use store::people::audit::{Entry, Filter};
use utoipa::IntoParams;

use crate::auth::Staff;
use crate::auth::grants::AuditRead;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::page::{Cursor, PageQuery};
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Audit log")
        .get(
            "/admin/audit-logs",
            list,
            "Who changed what, newest first",
            &[],
        )
        .get(
            "/admin/audit-logs/head",
            head,
            "The end of the chain of hashes",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    entity: Option<String>,
    actor: Option<String>,
}

async fn list(
    _: Staff<AuditRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Entry>, ApiError> {
    let filter = Filter {
        entity: query.entity,
        actor: query.actor,
        period,
    };
    let rows = audit::list(&context, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::numbered(row.at, row.id))
}

async fn head(_: Staff<AuditRead>, State(context): State<Context>) -> Result<Data<Head>, ApiError> {
    envelope::ok(&audit::head(&context).await?)
}
