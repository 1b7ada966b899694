//! `/admin/audit-logs`: who changed what.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::people::audit::{self, Head};
use store::Period;
use store::people::audit::{Entry, Filter};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::auth::Staff;
use crate::auth::grants::AuditRead;
use crate::csv::CsvFile;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
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
            "/admin/audit-logs.csv",
            download,
            "All entries that a list with these filters has, as a CSV file, newest first",
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
    /// As `noun.verb`, for example `merchant.patch`.
    action: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Filter {
        Filter {
            entity: self.entity,
            actor: self.actor,
            action: self.action,
            period,
        }
    }
}

async fn list(
    _: Staff<AuditRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Entry>, ApiError> {
    let rows = audit::list(&context, &query.of(period), page.store_page()).await?;
    page.reply(rows, |row| Cursor::numbered(row.at, row.id))
}

async fn download(
    _: Staff<AuditRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    audit_file(&context, query.of(period), language.language()).await
}

/// All entries that a list has.
///
/// # Errors
/// The database's.
pub async fn audit_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("log-audit", "audit-log"),
        columns: &[
            ("Waktu (WIB)", "at_wib"),
            ("ID", "id"),
            ("Siapa", "actor"),
            ("Apa", "action"),
            ("Terhadap", "entity"),
            ("ID permintaan", "request_id"),
            ("Sebelum", "before"),
            ("Sesudah", "after"),
            ("Segel", "seal"),
        ],
        cells: |row: &Entry| {
            vec![
                wib::format(row.at),
                row.id.to_string(),
                row.actor.clone(),
                row.action.clone(),
                row.entity.clone(),
                cell(row.request_id.as_ref()),
                cell(row.before.as_ref()),
                cell(row.after.as_ref()),
                cell(row.seal),
            ]
        },
        place: |row| (row.at, Uuid::from_u128(row.id.try_into().unwrap_or(0))),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { audit::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn head(_: Staff<AuditRead>, State(context): State<Context>) -> Result<Data<Head>, ApiError> {
    envelope::ok(&audit::head(&context).await?)
}
