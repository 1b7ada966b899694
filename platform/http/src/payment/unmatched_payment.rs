//! `/admin/unmatched-payments`.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::money::approval;
use service::payment::unmatched_payment::{self, Assignment};
use store::payment::unmatched_payment::UnmatchedPayment;
use utoipa::IntoParams;
use wire::ids::UnmatchedPaymentId;

use crate::auth::Staff;
use crate::auth::grants::{IncidentRead, TransactionWrite};
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin};
use crate::json::Json;
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
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<UnmatchedPayment>, ApiError> {
    let (status, partner_id) = (query.status.as_deref(), query.partner_id.as_deref());
    let rows =
        unmatched_payment::list(&context, status, partner_id, period, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
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
