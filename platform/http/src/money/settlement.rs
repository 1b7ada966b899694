//! `/admin/settlements`, and a merchant's own under `/merchant/settlements`.

use axum::extract::State;
use domain::merchant::masked_account;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::approval;
use service::money::settlement::{self, Outcome, Run, SettlementView};
use service::{Context, Error, word};
use store::money::settlement::Filter;
use store::{Period, Scope};
use utoipa::{IntoParams, ToSchema};
use wire::ids::{MerchantId, SettlementId};

use crate::auth::Staff;
use crate::auth::grants::{PortalRead, SettlementRead, SettlementWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Accepted, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, MustKey, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{
        InvalidState, MerchantNotFound, MerchantPayoutNotConfigured, SettlementNotEligible,
    };

    Routes::of("Settlements")
        .post(
            "/admin/settlements/run",
            run,
            "Settles what was paid before the cutoff and is not settled yet",
            &[
                MerchantNotFound,
                SettlementNotEligible,
                MerchantPayoutNotConfigured,
            ],
        )
        .post(
            "/admin/settlements/{settlement_id}/retry-payout",
            retry_payout,
            "Pays a settlement out once more, after its payout failed or came back",
            &[SettlementNotEligible, MerchantPayoutNotConfigured],
        )
        .post(
            "/admin/settlements/{settlement_id}/mark-paid",
            mark_paid,
            "Notes that people have paid a settlement by hand, with the bank's reference; 202 when another person must confirm it",
            &[SettlementNotEligible, InvalidState],
        )
        .post(
            "/admin/settlements/{settlement_id}/mark-returned",
            mark_returned,
            "Notes that what people had paid by hand came back from the merchant's bank",
            &[SettlementNotEligible, InvalidState],
        )
        .get("/admin/settlements", list, "Settlements, newest first", &[])
        .get(
            "/admin/settlements.csv",
            download,
            "All settlements that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/merchant/settlements.csv",
            download_own,
            "All of one's own settlements that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/settlements/{settlement_id}",
            read,
            "One settlement",
            &[],
        )
        .get(
            "/merchant/settlements",
            list_own,
            "One's own settlements, newest first",
            &[],
        )
        .get(
            "/merchant/settlements/{settlement_id}",
            read_own,
            "One of one's own settlements",
            &[],
        )
}

async fn run(
    staff: Staff<SettlementWrite>,
    State(context): State<Context>,
    request: MustKey<Action<Run>>,
) -> Answer<Data<Outcome>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = settlement::run(&mut unit, request.body.0).await?;
    commit(unit, envelope::ok(&outcome)?).await
}

async fn retry_payout(
    staff: Staff<SettlementWrite>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    request: MustKey<Action<Nothing>>,
) -> Answer<Accepted<SettlementView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let retried = settlement::retry_payout(&mut unit, id).await?;
    commit(unit, envelope::accepted(&retried)?).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PaidByHand {
    /// The bank's name for the transfer.
    #[schema(min_length = 1, max_length = 128)]
    bank_reference: String,
}

async fn mark_paid(
    staff: Staff<SettlementWrite>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    request: Keyed<Json<PaidByHand>>,
) -> Answer<DoneOrProposed<Data<SettlementView>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::mark_paid(&mut unit, id, request.body.0.bank_reference).await?;
    settle(unit, outcome, &[], envelope::ok).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReturnedByHand {
    /// Why, as the bank says.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

async fn mark_returned(
    staff: Staff<SettlementWrite>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    request: Keyed<Json<ReturnedByHand>>,
) -> Answer<Data<SettlementView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let returned = settlement::mark_returned(&mut unit, id, &request.body.0.reason).await?;
    commit(unit, envelope::ok(&returned)?).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    merchant_id: Option<MerchantId>,
    /// The bank's name for the transfer.
    bank_reference: Option<String>,
}

async fn list(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<SettlementView>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let filter = filter(query.status.as_deref(), query.bank_reference, period)?;
    let rows = settlement::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, cursor)
}

async fn download(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let filter = filter(query.status.as_deref(), query.bank_reference, period)?;
    settlement_file(&context, scope, filter, language.language()).await
}

async fn download_own(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<OwnQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = filter(query.status.as_deref(), None, period)?;
    settlement_file(&context, scope, filter, language.language()).await
}

fn filter(
    status: Option<&str>,
    bank_reference: Option<String>,
    period: Period,
) -> Result<Filter, Error> {
    Ok(Filter {
        status: word("status", status)?,
        bank_reference,
        period,
    })
}

/// All settlements that a list has.
///
/// # Errors
/// The database's.
pub async fn settlement_file(
    context: &Context,
    scope: Scope,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("settlement", "settlements"),
        columns: &[
            ("ID settlement", "settlement_id"),
            ("ID merchant", "merchant_id"),
            ("Status", "status"),
            ("Batas waktu (WIB)", "cutoff_wib"),
            ("Dibuat (WIB)", "created_at_wib"),
            ("Jumlah transaksi", "transaction_count"),
            ("Penjualan", "gross"),
            ("Biaya", "fee"),
            ("Pengembalian", "refunds"),
            ("Bersih", "net"),
            ("Rekening tujuan", "destination"),
            ("Referensi bank", "bank_reference"),
            ("Alasan", "status_reason"),
        ],
        cells: |view: &SettlementView| {
            let row = &view.settlement;
            vec![
                row.id.to_string(),
                row.merchant_id.to_string(),
                row.status.as_str().to_owned(),
                wib::format(row.cutoff),
                wib::format(row.created_at),
                row.transaction_count.to_string(),
                row.gross.to_i64().to_string(),
                row.fee.to_i64().to_string(),
                row.refunds.to_i64().to_string(),
                row.net.to_i64().to_string(),
                cell(row.destination.as_deref().map(masked_account)),
                cell(row.bank_reference.as_ref()),
                cell(row.status_reason.as_ref()),
            ]
        },
        place: |view| (view.settlement.created_at, view.settlement.id.as_uuid()),
    };
    let asked = (context.clone(), scope, filter);
    shape
        .file(language, asked, |asked, page| {
            async move { settlement::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
}

async fn read(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
) -> Result<Data<SettlementView>, ApiError> {
    envelope::ok(&settlement::get(&context, staff.scope, id).await?)
}

#[derive(Deserialize, IntoParams)]
struct OwnQuery {
    status: Option<String>,
}

async fn list_own(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<OwnQuery>,
) -> Result<List<SettlementView>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = filter(query.status.as_deref(), None, period)?;
    let rows = settlement::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, cursor)
}

async fn read_own(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
) -> Result<Data<SettlementView>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    envelope::ok(&settlement::get(&context, scope, id).await?)
}

fn cursor(row: &SettlementView) -> Cursor {
    Cursor::new(row.settlement.created_at, row.settlement.id.as_uuid())
}
