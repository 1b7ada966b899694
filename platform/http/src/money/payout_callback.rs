//! `/integrations/bank/payout-callback`: the payout partner's notification about a payout.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::payout::PayoutOutcome;
use service::Context;
use service::money::payout_callback::{self, Receipt};
use utoipa::ToSchema;
use wire::ids::{PayoutId, SettlementId};

use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::json::Amount;
use crate::routes::Routes;
use crate::signed::Signed;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, InvalidState, SettlementNotFound};

    Routes::of("Webhooks").post(
        "/integrations/bank/payout-callback",
        receive,
        "The payout partner tells us what became of a payout",
        &[SettlementNotFound, DuplicateRequest, InvalidState],
    )
}

/// What the payout partner says.
#[derive(ToSchema)]
#[schema(as = PayoutCallback)]
#[expect(
    dead_code,
    reason = "the form of what domain::payout reads, for the document alone"
)]
struct CallbackBody {
    /// The partner's name for this message.
    #[schema(min_length = 1, max_length = 128)]
    event_id: String,
    settlement_id: SettlementId,
    /// The payout as it was instructed. Without it, the one that `bank_reference` belongs to, or else the settlement's newest.
    payout_id: Option<PayoutId>,
    status: PayoutOutcome,
    /// The payout's amount.
    amount: Amount,
    /// The bank's name for the transfer: it belongs to one payout.
    #[schema(min_length = 1, max_length = 128)]
    bank_reference: Option<String>,
    occurred_at: DateTime<Utc>,
}

async fn receive(
    State(context): State<Context>,
    call: Signed<CallbackBody>,
) -> Result<Data<Receipt>, ApiError> {
    envelope::ok(&payout_callback::receive(&context, call.incoming).await?)
}
