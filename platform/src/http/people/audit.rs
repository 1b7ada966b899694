//! `/admin/audit-logs`: who changed what.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::auth::Staff;
use crate::http::auth::grants::AuditRead;
use crate::http::envelope::{self, Data, List};
use crate::http::error::ApiError;
use crate::http::page::{Cursor, PageQuery};
use crate::http::period::PeriodQuery;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::people::audit::{self, Head};
use crate::store::people::audit::{Entry, Filter};

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
