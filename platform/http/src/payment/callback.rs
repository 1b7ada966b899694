//! `/integrations/qris/callback`: the acquirer's notification of a payment.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::callback::CallbackStatus;
use domain::snap::answer::Answer;
use service::Context;
use service::payment::callback::{self, Receipt};
use utoipa::ToSchema;
use wire::ids::TransactionId;

use super::snap::NotifyReply;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::json::Amount;
use crate::operation::{Describe, Operation};
use crate::routes::Routes;
use crate::signed::Signed;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, InvalidState, TransactionNotFound};

    Routes::of("Webhooks").post(
        "/integrations/qris/callback",
        receive,
        "The acquirer tells us what became of a payment",
        &[TransactionNotFound, DuplicateRequest, InvalidState],
    )
}

/// The body of profile `hmac`: the payment is named by `transaction_id`, or by `nmid` (else `mpan`) and `terminal_label`
/// (else `terminal_id`) when the customer paid a static code. Only order or payee, reference, amount, currency and status
/// decide; of everything else, what is empty counts as absent, what is too long is cut, and what cannot be read is
/// dropped.
#[derive(ToSchema)]
#[schema(as = QrisCallback)]
#[expect(
    dead_code,
    reason = "the form of what domain::callback reads, for the document alone"
)]
struct CallbackBody {
    /// The partner's name for this message.
    event_id: Option<String>,
    transaction_id: Option<TransactionId>,
    /// The merchant that the partner credits.
    #[schema(example = "ID1020021181745")]
    nmid: Option<String>,
    /// The merchant's PAN, when there is no NMID.
    mpan: Option<String>,
    /// The terminal, by tag 62.07 of its code.
    terminal_label: Option<String>,
    /// The terminal, by another name.
    terminal_id: Option<String>,
    /// The partner's name for the money.
    #[schema(min_length = 1, max_length = 128)]
    partner_reference: String,
    amount: Amount,
    #[schema(pattern = "^IDR$")]
    currency: String,
    status: CallbackStatus,
    /// When the customer paid. A time without a zone is in WIB; without one that can be read, the payment was made when
    /// it was accepted.
    paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    rrn: Option<String>,
    /// Who issued the customer's account.
    issuer: Option<String>,
}

async fn receive(
    State(context): State<Context>,
    call: Signed<CallbackBody>,
) -> Result<CallbackReply, ApiError> {
    if callback::speaks_snap(&context, call.incoming.partner_id.as_deref()) {
        let reply = callback::snap::receive(&context, call.incoming).await;
        return Ok(CallbackReply::Snap(NotifyReply(reply)));
    }
    let receipt = callback::receive(&context, call.incoming).await?;
    envelope::ok(&receipt).map(CallbackReply::Ours)
}

/// An answer in the form of the partner's profile.
enum CallbackReply {
    Ours(Data<Receipt>),
    Snap(NotifyReply),
}

impl IntoResponse for CallbackReply {
    fn into_response(self) -> Response {
        match self {
            Self::Ours(receipt) => receipt.into_response(),
            Self::Snap(reply) => reply.into_response(),
        }
    }
}

impl Describe for CallbackReply {
    fn describe(operation: &mut Operation) {
        Data::<Receipt>::describe(operation);
        operation.answers_plainly::<Answer>(&[200, 400, 401, 404, 409, 500, 503]);
    }
}
