//! `/admin/merchants`.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::approval;
use service::shop::merchant::{self, MerchantPatch, NewMerchant};
use service::shop::suspension;
use service::{Context, Error, word};
use store::Period;
use store::shop::merchant::{Filter, Merchant};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Staff;
use crate::auth::grants::{MerchantRead, MerchantWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;
use wire::ids::MerchantId;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, FeeProfileNotFound, InvalidState};

    Routes::of("Merchants")
        .post(
            "/admin/merchants",
            create,
            "Registers a merchant, which then waits for its review",
            &[FeeProfileNotFound],
        )
        .get("/admin/merchants", list, "Merchants, newest first", &[])
        .get(
            "/admin/merchants.csv",
            download,
            "All merchants that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get("/admin/merchants/{merchant_id}", read, "One merchant", &[])
        .patch(
            "/admin/merchants/{merchant_id}",
            patch,
            "Changes a merchant (merge patch), suspends it or takes it back; 202 when another person must confirm it",
            &[InvalidState, FeeProfileNotFound, DuplicateRequest],
        )
        .post(
            "/admin/merchants/{merchant_id}/approve",
            approve,
            "Approves a merchant and registers it with the QR partner: it may take payments; 202 when another person must confirm it",
            &[InvalidState],
        )
        .post(
            "/admin/merchants/{merchant_id}/suspend",
            suspend,
            "Suspends a merchant, with the reason: it takes no payments, and its payouts are held",
            &[InvalidState],
        )
        .post(
            "/admin/merchants/{merchant_id}/reactivate",
            reactivate,
            "Approves a suspended merchant again, and frees its payouts",
            &[InvalidState],
        )
        .post(
            "/admin/merchants/{merchant_id}/reject",
            reject,
            "Rejects a merchant, with the reason",
            &[InvalidState],
        )
}

async fn create(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewMerchant>>,
) -> Answer<Created<Merchant>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let created = merchant::create(&mut unit, request.body.0).await?;
    commit(unit, envelope::created(&created)?).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    /// A part of a name; or the whole id, code, NMID or PAN.
    q: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Result<Filter, Error> {
        Ok(Filter {
            status: word("status", self.status.as_deref())?,
            q: self.q,
            period,
        })
    }
}

async fn list(
    _: Staff<MerchantRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Merchant>, ApiError> {
    let rows = merchant::list(&context, &query.of(period)?, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    _: Staff<MerchantRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    merchant_file(&context, query.of(period)?, language.language()).await
}

/// All merchants that a list has.
///
/// # Errors
/// The database's.
pub async fn merchant_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("merchant", "merchants"),
        columns: &[
            ("ID merchant", "merchant_id"),
            ("Kode", "merchant_code"),
            ("Nama", "brand_name"),
            ("Nama resmi", "legal_name"),
            ("Status", "status"),
            ("NMID", "nmid"),
            ("PAN", "merchant_pan"),
            ("Acquirer", "qris_partner_id"),
            ("Kota", "city"),
            ("MCC", "mcc"),
            ("Profil biaya", "fee_profile_id"),
            ("Dibuat (WIB)", "created_at_wib"),
        ],
        cells: |row: &Merchant| {
            vec![
                row.id.to_string(),
                row.merchant_code.clone(),
                row.brand_name.clone(),
                row.legal_name.clone(),
                row.status.as_str().to_owned(),
                cell(row.nmid.as_ref()),
                cell(row.merchant_pan.as_ref()),
                cell(row.qris_partner_id.as_ref()),
                row.city.clone(),
                row.mcc.clone(),
                row.fee_profile_id.clone(),
                wib::format(row.created_at),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { merchant::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn read(
    staff: Staff<MerchantRead>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
) -> Result<Data<Merchant>, ApiError> {
    envelope::ok(&merchant::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    Json(change): Json<MerchantPatch>,
) -> Answer<DoneOrProposed<Data<Merchant>>> {
    let mut unit = context.begin(staff.actor()).await?;
    let outcome = approval::patch_merchant(&mut unit, id, change).await?;
    settle(unit, outcome, &[], envelope::ok).await
}

async fn approve(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<DoneOrProposed<Data<Merchant>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::approve_merchant(&mut unit, id).await?;
    settle(unit, outcome, &[], envelope::ok).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suspension {
    /// Why, for the audit log and whoever reads the merchant.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

async fn suspend(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Json<Suspension>>,
) -> Answer<Data<Merchant>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let suspended = suspension::suspend(&mut unit, id, request.body.0.reason).await?;
    commit(unit, envelope::ok(&suspended)?).await
}

async fn reactivate(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<Merchant>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let approved = suspension::reactivate(&mut unit, id).await?;
    commit(unit, envelope::ok(&approved)?).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rejection {
    reason: String,
}

async fn reject(
    staff: Staff<MerchantWrite>,
    State(context): State<Context>,
    Id(id): Id<MerchantId>,
    request: Keyed<Json<Rejection>>,
) -> Answer<Data<Merchant>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let rejected = merchant::reject(&mut unit, id, request.body.0.reason).await?;
    commit(unit, envelope::ok(&rejected)?).await
}
