//! `/admin/approvals`: changes that one person proposes and another confirms or rejects.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::approval::{self, Compared, Confirmed};
use service::{Context, Error, word};
use store::Period;
use store::money::approval::{Approval, Filter};
use utoipa::{IntoParams, ToSchema};
use wire::ids::ApprovalId;

use crate::auth::Staff;
use crate::auth::grants::{ApprovalRead, ApprovalWrite};
use crate::csv::CsvFile;
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit, commit_without};
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
        DeviceCapabilityNotSupported, DeviceNotFound, DuplicateRequest, FeeProfileNotFound,
        InvalidState, MerchantNotFound, SettlementNotEligible, SettlementNotFound,
        TerminalNotFound, UnmatchedPaymentNotFound, UserNotFound,
    };

    Routes::of("Approvals")
        .get("/admin/approvals", list, "Proposals, newest first", &[])
        .get(
            "/admin/approvals.csv",
            download,
            "All proposals that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get(
            "/admin/approvals/{approval_id}",
            read,
            "One proposal beside what is there now",
            &[],
        )
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
    /// The id of what is to be changed, or of who asked for it.
    q: Option<String>,
}

impl ListQuery {
    fn of(self, period: Period) -> Result<Filter, Error> {
        Ok(Filter {
            status: word("status", self.status.as_deref())?,
            kind: word("kind", self.kind.as_deref())?,
            q: self.q,
            period,
        })
    }
}

async fn list(
    _: Staff<ApprovalRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Approval>, ApiError> {
    let rows = approval::list(&context, &query.of(period)?, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    _: Staff<ApprovalRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    approval_file(&context, query.of(period)?, language.language()).await
}

/// All proposals that a list has.
///
/// # Errors
/// The database's.
pub async fn approval_file(
    context: &Context,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("persetujuan", "approvals"),
        columns: &[
            ("ID persetujuan", "approval_id"),
            ("Jenis", "kind"),
            ("Objek", "entity"),
            ("Status", "status"),
            ("Diusulkan oleh", "requested_by"),
            ("Diusulkan (WIB)", "created_at_wib"),
            ("Diputuskan oleh", "decided_by"),
            ("Diputuskan (WIB)", "decided_at_wib"),
            ("Alasan", "reason"),
            ("Permintaan", "request"),
        ],
        cells: |row: &Approval| {
            vec![
                row.id.to_string(),
                row.kind.as_str().to_owned(),
                row.entity.clone(),
                row.status.as_str().to_owned(),
                row.requested_by.clone(),
                wib::format(row.created_at),
                cell(row.decided_by.as_ref()),
                cell(row.decided_at.map(wib::format)),
                cell(row.reason.as_ref()),
                row.request.to_string(),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), filter), |asked, page| {
            async move { approval::list(&asked.0, &asked.1, page).await }.boxed()
        })
        .await
}

async fn read(
    staff: Staff<ApprovalRead>,
    State(context): State<Context>,
    Id(id): Id<ApprovalId>,
) -> Result<Data<Compared>, ApiError> {
    envelope::ok(&approval::compare(&context, id, &staff.principal).await?)
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
