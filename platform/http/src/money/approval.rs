//! `/admin/approvals`: changes that one person proposes and another confirms or rejects.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::money::approval::{self, Confirmed};
use store::money::approval::Approval;
use utoipa::{IntoParams, ToSchema};
use wire::ids::ApprovalId;

use crate::auth::Staff;
use crate::auth::grants::{ApprovalRead, ApprovalWrite};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit, commit_without};
use crate::json::{Action, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{
        DeviceCapabilityNotSupported, DeviceNotFound, DuplicateRequest, FeeProfileNotFound,
        InvalidState, MerchantNotFound, SettlementNotEligible, SettlementNotFound,
        TerminalNotFound, UnmatchedPaymentNotFound, UserNotFound,
    };

    Routes::of("Approvals")
        .get("/admin/approvals", list, "Proposals, newest first", &[])
        .get("/admin/approvals/{approval_id}", read, "One proposal", &[])
        .post(
            "/admin/approvals/{approval_id}/approve",
            approve,
            "Confirms what another person has proposed, and does it; secrets that it makes are in this answer only",
            &[
                InvalidState,
                DuplicateRequest,
                FeeProfileNotFound,
                MerchantNotFound,
                SettlementNotFound,
                SettlementNotEligible,
                UnmatchedPaymentNotFound,
                TerminalNotFound,
                UserNotFound,
                DeviceNotFound,
                DeviceCapabilityNotSupported,
                ErrorCode::ValidationFailed,
            ],
        )
        .post(
            "/admin/approvals/{approval_id}/reject",
            reject,
            "Turns a proposal down, or takes it back",
            &[InvalidState],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    status: Option<String>,
    kind: Option<String>,
}

async fn list(
    _: Staff<ApprovalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Approval>, ApiError> {
    let (status, kind) = (query.status.as_deref(), query.kind.as_deref());
    let rows = approval::list(&context, status, kind, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn read(
    _: Staff<ApprovalRead>,
    State(context): State<Context>,
    Id(id): Id<ApprovalId>,
) -> Result<Data<Approval>, ApiError> {
    envelope::ok(&approval::get(&context, id).await?)
}

async fn approve(
    staff: Staff<ApprovalWrite>,
    State(context): State<Context>,
    Id(id): Id<ApprovalId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<Confirmed>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let confirmed = approval::approve(&mut unit, id).await?;
    commit_without(unit, envelope::ok(&confirmed)?, &["token", "setup_code"]).await
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ProposalRejection)]
#[serde(deny_unknown_fields)]
struct Rejection {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

async fn reject(
    staff: Staff<ApprovalWrite>,
    State(context): State<Context>,
    Id(id): Id<ApprovalId>,
    request: Keyed<Json<Rejection>>,
) -> Answer<Data<Approval>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let rejected = approval::reject(&mut unit, id, &request.body.0.reason).await?;
    commit(unit, envelope::ok(&rejected)?).await
}
