//! `/admin/callbacks`: what partners have sent, and what could not be verified.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::payment::callback::archive::{self, Detail, Wanted};
use store::Period;
use store::payment::callback::Received;
use utoipa::IntoParams;
use wire::ids::CallbackId;

use crate::auth::Staff;
use crate::auth::grants::IncidentRead;
use crate::csv::CsvFile;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Callbacks")
        .get(
            "/admin/callbacks",
            list,
            "What partners have sent, refused messages too, newest first",
            &[],
        )
        .get(
            "/admin/callbacks.csv",
            download,
            "All messages that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/callbacks/{callback_id}",
            find,
            "One message with its headers and its raw body",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// `accepted`, `duplicate`, `unmatched`, `held`, `ignored`, `incident`, `rejected` or `failed`.
    verdict: Option<String>,
    /// Who sent it, or said so.
    partner_id: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Wanted {
        Wanted {
            verdict: self.verdict,
            partner_id: self.partner_id,
            from: period.from,
            to: period.to,
        }
    }
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Received>, ApiError> {
    let rows = archive::list(&context, query.of(period), page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.received_at, row.id.as_uuid()))
}

async fn download(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    callback_file(&context, query.of(period), language.language()).await
}

/// All messages that a list has.
///
/// # Errors
/// A verdict that does not exist.
pub async fn callback_file(
    context: &Context,
    wanted: Wanted,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("pesan-mitra", "callbacks"),
        columns: &[
            ("Diterima (WIB)", "received_at_wib"),
            ("ID callback", "callback_id"),
            ("Mitra", "partner_id"),
            ("Mengaku dari", "claimed_partner_id"),
            ("Alamat", "route"),
            ("Putusan", "verdict"),
            ("Alasan", "reason"),
            ("Dijawab", "http_status"),
            ("Referensi mitra", "partner_reference"),
            ("ID transaksi", "transaction_id"),
            ("Byte", "body_bytes"),
        ],
        cells: |row: &Received| {
            vec![
                wib::format(row.received_at),
                row.id.to_string(),
                cell(row.partner_id.as_ref()),
                cell(row.claimed_partner_id.as_ref()),
                row.route.clone(),
                row.verdict.clone(),
                cell(row.reason.as_ref()),
                row.http_status.to_string(),
                cell(row.partner_reference.as_ref()),
                cell(row.transaction_id),
                row.body_bytes.to_string(),
            ]
        },
        place: |row| (row.received_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), wanted), |asked, page| {
            async move { archive::list(&asked.0, asked.1.clone(), page).await }.boxed()
        })
        .await
}

async fn find(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    Id(id): Id<CallbackId>,
) -> Result<Data<Detail>, ApiError> {
    envelope::ok(&archive::find(&context, id).await?)
}
