//! `/admin/payouts`: the payouts of all settlements.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Context;
use service::money::payout_list::{self, ListedPayout, Wanted};
use store::{Period, Scope};
use utoipa::IntoParams;
use wire::ids::MerchantId;

use crate::auth::Staff;
use crate::auth::grants::SettlementRead;
use crate::csv::CsvFile;
use crate::envelope::List;
use crate::error::ApiError;
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Settlements")
        .get(
            "/admin/payouts",
            list,
            "Payouts of all settlements, newest first",
            &[],
        )
        .get(
            "/admin/payouts.csv",
            download,
            "All payouts that a list with these filters has, as a CSV file, newest first",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    merchant_id: Option<MerchantId>,
    /// `true`: only the last payout of each settlement that failed or came back and is not paid since.
    unresolved: Option<bool>,
}

impl ListQuery {
    fn of(self, period: Period) -> Wanted {
        Wanted {
            status: self.status,
            unresolved: self.unresolved.unwrap_or(false),
            period,
        }
    }
}

async fn list(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<ListedPayout>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let wanted = query.of(period);
    let rows = payout_list::list(&context, scope, &wanted, page.store_page()).await?;
    page.reply(rows, |row| {
        Cursor::new(row.payout.created_at, row.payout.id.as_uuid())
    })
}

async fn download(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    payout_file(&context, scope, query.of(period), language.language()).await
}

/// All payouts that a list has.
///
/// # Errors
/// A status that does not exist.
pub async fn payout_file(
    context: &Context,
    scope: Scope,
    wanted: Wanted,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("pencairan", "payouts"),
        columns: &[
            ("Dibuat (WIB)", "created_at_wib"),
            ("ID pencairan", "payout_id"),
            ("ID settlement", "settlement_id"),
            ("ID merchant", "merchant_id"),
            ("Status", "status"),
            ("Jumlah", "amount"),
            ("Percobaan", "attempt"),
            ("Mitra", "partner_id"),
            ("Tujuan", "destination"),
            ("Referensi bank", "bank_reference"),
            ("Alasan", "reason"),
            ("Ditahan", "hold_reason"),
        ],
        cells: |row: &ListedPayout| {
            vec![
                wib::format(row.payout.created_at),
                row.payout.id.to_string(),
                row.settlement_id.to_string(),
                row.merchant_id.to_string(),
                row.payout.status.to_string(),
                row.payout.amount.to_i64().to_string(),
                row.payout.attempt.to_string(),
                cell(row.payout.partner_id.as_ref()),
                cell(row.payout.destination.as_ref()),
                cell(row.payout.bank_reference.as_ref()),
                cell(row.payout.reason.as_ref()),
                cell(row.payout.hold_reason.as_ref()),
            ]
        },
        place: |row| (row.payout.created_at, row.payout.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), scope, wanted), |asked, page| {
            async move { payout_list::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
}
