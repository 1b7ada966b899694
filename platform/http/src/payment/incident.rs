//! `/admin/incidents`.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::payment::incident::{self, Resolution};
use store::Period;
use store::payment::incident::{Filter, Incident};
use utoipa::IntoParams;
use wire::ids::{IncidentId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::{IncidentRead, IncidentWrite};
use crate::csv::CsvFile;
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::Json;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Incidents")
        .get(
            "/admin/incidents",
            list,
            "Messages that contradict what we know, newest first",
            &[],
        )
        .get(
            "/admin/incidents.csv",
            download,
            "All incidents that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get("/admin/incidents/{incident_id}", read, "One incident", &[])
        .post(
            "/admin/incidents/{incident_id}/resolve",
            resolve,
            "Closes an incident, with what was found out",
            &[ErrorCode::InvalidState],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// Only closed ones, or only open ones.
    resolved: Option<bool>,
    kind: Option<String>,
    partner_id: Option<String>,
    transaction_id: Option<TransactionId>,
}

impl ListQuery {
    fn of(self, period: Period) -> Filter {
        Filter {
            resolved: self.resolved,
            kind: self.kind,
            partner_id: self.partner_id,
            transaction_id: self.transaction_id,
            period,
        }
    }
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Incident>, ApiError> {
    let rows = incident::list(&context, &query.of(period), page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    incident_file(&context, query.of(period), language.language()).await
}

/// All incidents that a list has.
///
/// # Errors
/// The database's.
pub async fn incident_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("insiden", "incidents"),
        columns: &[
            ("Datang (WIB)", "created_at_wib"),
            ("ID insiden", "incident_id"),
            ("Jenis", "kind"),
            ("Mitra", "partner_id"),
            ("ID transaksi", "transaction_id"),
            ("ID callback", "callback_id"),
            ("Isi", "details"),
            ("Ditutup (WIB)", "resolved_at_wib"),
            ("Ditutup oleh", "resolved_by"),
            ("Temuan", "resolution"),
        ],
        cells: |row: &Incident| {
            vec![
                wib::format(row.created_at),
                row.id.to_string(),
                row.kind.clone(),
                row.partner_id.clone(),
                cell(row.transaction_id),
                row.callback_id.to_string(),
                row.details.to_string(),
                cell(row.resolved_at.map(wib::format)),
                cell(row.resolved_by.as_ref()),
                cell(row.resolution.as_ref()),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { incident::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn read(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    Id(id): Id<IncidentId>,
) -> Result<Data<Incident>, ApiError> {
    envelope::ok(&incident::get(&context, id).await?)
}

async fn resolve(
    staff: Staff<IncidentWrite>,
    State(context): State<Context>,
    Id(id): Id<IncidentId>,
    request: Keyed<Json<Resolution>>,
) -> Answer<Data<Incident>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let closed = incident::resolve(&mut unit, id, &request.body.0).await?;
    commit(unit, envelope::ok(&closed)?).await
}
