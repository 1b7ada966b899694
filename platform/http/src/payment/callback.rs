//! `/integrations/qris/callback`: the acquirer's notification of a payment, by whichever path; and the form of its answer.

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::callback::CallbackStatus;
use domain::snap::answer::Answer;
use serde_json::Value;
use service::Context;
use service::payment::callback::{self, NamedBy, Receipt, Reply};
use store::outage::Outage;
use utoipa::ToSchema;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};
use wire::ids::TransactionId;

use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode, UNAVAILABLE_RETRY_AFTER_S};
use crate::json::Amount;
use crate::operation::{Describe, Operation};
use crate::routes::Routes;
use crate::signed::Signed;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DuplicateRequest, InvalidState, TransactionNotFound};

    let errors = [TransactionNotFound, DuplicateRequest, InvalidState];
    Routes::of("Webhooks")
        .post(
            "/integrations/qris/callback",
            receive,
            "The acquirer tells us what became of a payment",
            &errors,
        )
        .post(
            "/integrations/qris/callback/{partner_id}",
            receive_named,
            "The same, from an acquirer that cannot send X-Partner-Id, in its dialect",
            &errors,
        )
}

/// The body of the dialect `hmac`: the payment is named by `transaction_id`, or by `nmid` (else `mpan`) and `terminal_label`
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
    /// The merchant, by the partner's own id.
    merchant_id: Option<String>,
    /// The outlet, by the partner's own id.
    store_id: Option<String>,
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
    CallbackReply::of(callback::dialect::receive(&context, call.incoming).await)
}

async fn receive_named(
    State(context): State<Context>,
    partner: PartnerInPath,
    mut call: Signed<CallbackBody>,
) -> Result<CallbackReply, ApiError> {
    call.incoming.partner_id = Some(partner.0);
    call.incoming.named_by = NamedBy::Path;
    CallbackReply::of(callback::dialect::receive(&context, call.incoming).await)
}

/// The partner that the path names: one of the configuration's.
pub(super) struct PartnerInPath(pub(super) String);

const PARTNER_PARAMETER: &str = "partner_id";

impl<S: Send + Sync> FromRequestParts<S> for PartnerInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = RawPathParams::from_request_parts(parts, state).await.ok();
        let named = parameters.as_ref().and_then(|parameters| {
            let mut named = parameters
                .iter()
                .filter(|(name, _)| *name == PARTNER_PARAMETER);
            named.next().map(|(_, value)| value.to_owned())
        });
        Ok(Self(named.unwrap_or_default()))
    }
}

impl Describe for PartnerInPath {
    fn describe(operation: &mut Operation) {
        let schema = ObjectBuilder::new().schema_type(Type::String).build();
        operation.takes(
            ParameterBuilder::new()
                .name(PARTNER_PARAMETER)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(schema))
                .build(),
        );
    }
}

/// An answer in the form of the partner's dialect.
pub(super) enum CallbackReply {
    Ours(Data<Receipt>),
    Theirs {
        http_status: u16,
        body: Value,
        outage: Option<Outage>,
    },
}

impl CallbackReply {
    pub(super) fn of(reply: Reply) -> Result<Self, ApiError> {
        Ok(match reply {
            Reply::Ours(receipt) => Self::Ours(envelope::ok(&receipt?)?),
            Reply::Theirs {
                http_status,
                body,
                outage,
            } => Self::Theirs {
                http_status,
                body,
                outage,
            },
        })
    }
}

impl IntoResponse for CallbackReply {
    fn into_response(self) -> Response {
        match self {
            Self::Ours(receipt) => receipt.into_response(),
            Self::Theirs {
                http_status,
                body,
                outage,
            } => plain(http_status, body, outage),
        }
    }
}

impl Describe for CallbackReply {
    fn describe(operation: &mut Operation) {
        Data::<Receipt>::describe(operation);
        operation.answers_plainly::<Answer>(&[200, 400, 401, 404, 409, 500, 503]);
    }
}

/// An answer without our envelope: a text as it is, anything else as JSON.
pub(super) fn plain(status: u16, body: Value, outage: Option<Outage>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match body {
        Value::String(text) => (status, text).into_response(),
        body => (status, Json(body)).into_response(),
    };
    if let Some(outage) = outage {
        let wait = HeaderValue::from(UNAVAILABLE_RETRY_AFTER_S);
        response.headers_mut().insert(RETRY_AFTER, wait);
        response.extensions_mut().insert(outage);
    }
    response
}
