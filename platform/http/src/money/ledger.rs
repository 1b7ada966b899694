//! `/admin/ledger-entries` and `/admin/ledger/trial-balance`.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::ledger::{self, TrialBalance};
use service::{Context, Error};
use store::money::ledger::{Entry, Filter};
use store::{Period, Scope};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::ids::{MerchantId, PayoutId, SettlementId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::LedgerRead;
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
    Routes::of("Ledger")
        .get(
            "/admin/ledger-entries",
            list,
            "Lines of the double-entry ledger, newest first",
            &[],
        )
        .get(
            "/admin/ledger-entries.csv",
            download,
            "All lines that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/ledger/trial-balance",
            trial_balance,
            "The sums of all accounts, now or at an earlier moment",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    account: Option<String>,
    kind: Option<String>,
    merchant_id: Option<MerchantId>,
    transaction_id: Option<TransactionId>,
    /// Whole postings that touch this settlement.
    settlement_id: Option<SettlementId>,
    payout_id: Option<PayoutId>,
}

impl ListQuery {
    fn of(&self, period: Period) -> Result<Filter, Error> {
        let (account, kind) = ledger::words(self.account.as_deref(), self.kind.as_deref())?;
        Ok(Filter {
            account,
            kind,
            transaction_id: self.transaction_id,
            settlement_id: self.settlement_id,
            payout_id: self.payout_id,
            period,
        })
    }
}

async fn list(
    staff: Staff<LedgerRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Entry>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let filter = query.of(period)?;
    let rows = ledger::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::numbered(row.created_at, row.id))
}

async fn download(
    staff: Staff<LedgerRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let filter = query.of(period)?;
    ledger_file(&context, scope, filter, language.language()).await
}

/// All lines that a list has.
///
/// # Errors
/// The database's.
pub async fn ledger_file(
    context: &Context,
    scope: Scope,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("buku-besar", "ledger"),
        columns: &[
            ("Waktu (WIB)", "at_wib"),
            ("ID pembukuan", "posting_id"),
            ("Kejadian", "kind"),
            ("Akun", "account"),
            ("Debit", "debit"),
            ("Kredit", "credit"),
            ("ID merchant", "merchant_id"),
            ("Mitra", "partner_id"),
            ("ID transaksi", "transaction_id"),
            ("ID settlement", "settlement_id"),
            ("ID pencairan", "payout_id"),
        ],
        cells: |row: &Entry| {
            vec![
                wib::format(row.created_at),
                row.posting_id.clone(),
                row.kind.to_string(),
                row.account.to_string(),
                row.debit.to_i64().to_string(),
                row.credit.to_i64().to_string(),
                row.merchant_id.to_string(),
                cell(row.partner_id.as_ref()),
                cell(row.transaction_id),
                cell(row.settlement_id),
                cell(row.payout_id),
            ]
        },
        place: |row| {
            (
                row.created_at,
                Uuid::from_u128(row.id.try_into().unwrap_or(0)),
            )
        },
    };
    shape
        .file(language, (context.clone(), scope, filter), |asked, page| {
            async move { ledger::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
}

#[derive(Deserialize, IntoParams)]
struct BalanceQuery {
    merchant_id: Option<MerchantId>,
    /// Up to and including this moment; now, unless it says otherwise.
    at: Option<DateTime<Utc>>,
}

async fn trial_balance(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    Query(query): Query<BalanceQuery>,
) -> Result<Data<TrialBalance>, ApiError> {
    envelope::ok(&ledger::trial_balance(&context, query.merchant_id, query.at).await?)
}
