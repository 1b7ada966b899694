//! `/admin/settlements`, and a merchant's own under `/merchant/settlements`.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::money::approval;
use service::money::settlement::{self, Outcome, Run, SettlementView};
use store::Scope;
use utoipa::{IntoParams, ToSchema};
use wire::ids::{MerchantId, SettlementId};

use crate::auth::Staff;
use crate::auth::grants::{PortalRead, SettlementRead, SettlementWrite};
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Accepted, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, MustKey, begin, commit};
use crate::json::{Action, Json, Nothing};
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
}

async fn list(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<SettlementView>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let status = query.status.as_deref();
    let rows = settlement::list(&context, scope, status, period, page.store_page()).await?;
    page.reply(rows, cursor)
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
    let status = query.status.as_deref();
    let rows = settlement::list(&context, scope, status, period, page.store_page()).await?;
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
