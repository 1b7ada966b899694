//! `/admin/unmatched-payments`.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::money::approval;
use service::payment::unmatched_payment::{self, Assignment};
use store::Period;
use store::payment::unmatched_payment::{Filter, UnmatchedPayment};
use utoipa::IntoParams;
use wire::ids::UnmatchedPaymentId;

use crate::auth::Staff;
use crate::auth::grants::{IncidentRead, TransactionWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin};
use crate::json::Json;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{InvalidAmount, InvalidState, TerminalNotFound};

    Routes::of("Unmatched payments")
        .get(
            "/admin/unmatched-payments",
            list,
            "Money that came and could not be attributed, newest first",
            &[],
        )
        .get(
            "/admin/unmatched-payments.csv",
            download,
            "All unmatched money that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .post(
            "/admin/unmatched-payments/{unmatched_payment_id}/assign",
            assign,
            "Says at which till it was paid: it becomes a transaction, and with `remember` the next one is attributed by itself; 202 when another person must confirm it",
            &[InvalidState, TerminalNotFound, InvalidAmount],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    /// `open`, `assigned` or `reversed`.
    status: Option<String>,
    partner_id: Option<String>,
    /// The partner's reference, the RRN, or the NMID or PAN that the partner named.
    q: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Filter {
        Filter {
            status: self.status,
            partner_id: self.partner_id,
            q: self.q,
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
) -> Result<List<UnmatchedPayment>, ApiError> {
    let rows = unmatched_payment::list(&context, &query.of(period), page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    _: Staff<IncidentRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    unmatched_payment_file(&context, query.of(period), language.language()).await
}

/// All unmatched money that a list has.
///
/// # Errors
/// A status that does not exist.
pub async fn unmatched_payment_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("uang-tanpa-pemilik", "unmatched-payments"),
        columns: &[
            ("ID", "unmatched_payment_id"),
            ("Status", "status"),
            ("Acquirer", "partner_id"),
            ("Referensi mitra", "partner_reference"),
            ("Jumlah", "amount"),
            ("Dibayar (WIB)", "paid_at_wib"),
            ("NMID", "nmid"),
            ("PAN", "merchant_pan"),
            ("Terminal", "terminal_label"),
            ("Merchant menurut mitra", "partner_merchant_id"),
            ("Outlet menurut mitra", "partner_store_id"),
            ("RRN", "rrn"),
            ("Penerbit", "issuer"),
            ("Alasan", "reason"),
            ("ID transaksi", "transaction_id"),
        ],
        cells: |row: &UnmatchedPayment| {
            let amount = row.amount.map(|amount| amount.to_i64().to_string());
            vec![
                row.id.to_string(),
                row.status.clone(),
                row.partner_id.clone(),
                row.partner_reference.clone(),
                cell(amount.or_else(|| row.amount_text.clone())),
                wib::format(row.paid_at),
                cell(row.nmid.as_ref()),
                cell(row.merchant_pan.as_ref()),
                cell(row.terminal_label.as_ref()),
                cell(row.partner_merchant_id.as_ref()),
                cell(row.partner_store_id.as_ref()),
                cell(row.rrn.as_ref()),
                cell(row.issuer.as_ref()),
                row.reason.to_string(),
                cell(row.transaction_id),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { unmatched_payment::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn assign(
    staff: Staff<TransactionWrite>,
    State(context): State<Context>,
    Id(id): Id<UnmatchedPaymentId>,
    request: Keyed<Json<Assignment>>,
) -> Answer<DoneOrProposed<Data<UnmatchedPayment>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::assign(&mut unit, id, request.body.0).await?;
    settle(unit, outcome, &[], envelope::ok).await
}
