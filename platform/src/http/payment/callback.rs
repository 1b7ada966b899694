//! `/integrations/qris/callback`: the acquirer tells us of a payment.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::callback::CallbackStatus;
use domain::partner_signature::{PARTNER_ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use domain::snap::answer::Answer;
use domain::snap::signature as snap;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::Required;
use wire::ids::TransactionId;

use super::snap::header;
use crate::http::auth::bearer;
use crate::http::envelope::{self, Data};
use crate::http::error::{ApiError, ErrorCode};
use crate::http::json::{Amount, read_whole};
use crate::http::operation::{Callers, Describe, Operation};
use crate::http::rate::Origin;
use crate::http::request;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::payment::callback::snap::SnapReply;
use crate::service::payment::callback::{self, Incoming, Receipt, SnapProof};

/// Headers that prove who calls, or might: never kept.
const CREDENTIALS: [&str; 5] = [
    SIGNATURE_HEADER,
    snap::SIGNATURE_HEADER,
    "authorization",
    "cookie",
    "proxy-authorization",
];
/// The most headers, and the longest value, that are kept.
const HEADERS_MAX: usize = 40;
const VALUE_LEN_MAX: usize = 256;

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
) -> Result<Told, ApiError> {
    if callback::speaks_snap(&context, call.incoming.partner_id.as_deref()) {
        let reply = callback::snap::receive(&context, call.incoming).await;
        return Ok(Told::Snap(reply));
    }
    let receipt = callback::receive(&context, call.incoming).await?;
    envelope::ok(&receipt).map(Told::Ours)
}

/// An answer in the words of who asks.
enum Told {
    Ours(Data<Receipt>),
    Snap(SnapReply),
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        match self {
            Self::Ours(receipt) => receipt.into_response(),
            Self::Snap(reply) => reply.into_response(),
        }
    }
}

impl Describe for Told {
    fn describe(operation: &mut Operation) {
        Data::<Receipt>::describe(operation);
        operation.answers_plainly::<Answer>(&[200, 400, 401, 404, 409, 500, 503]);
    }
}

/// What a partner sends and signs: a `T`, which is taken as bytes, because the signature is checked on them before
/// anything is parsed.
pub(in crate::http) struct Signed<T> {
    pub(in crate::http) incoming: Incoming,
    body: PhantomData<fn() -> T>,
}

impl<S: Send + Sync, T> FromRequest<S> for Signed<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let origin = request.extensions().get::<Origin>();
        let address = origin.and_then(|Origin(address)| *address);
        let path = request
            .uri()
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let text = |name: &str| header(&headers, name);
        let incoming = Incoming {
            path,
            partner_id: text(PARTNER_ID_HEADER),
            timestamp: text(TIMESTAMP_HEADER),
            signature: text(SIGNATURE_HEADER),
            snap: SnapProof {
                timestamp: text(snap::TIMESTAMP_HEADER),
                signature: text(snap::SIGNATURE_HEADER),
                token: bearer(&headers).map(str::to_owned),
                external_id: text(snap::EXTERNAL_ID_HEADER),
            },
            headers: kept(&headers),
            body: read_whole(request, state).await?,
            request_id: Some(request::id()),
            address,
        };
        Ok(Self {
            incoming,
            body: PhantomData,
        })
    }
}

impl<T: ToSchema> Describe for Signed<T> {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::Partners;
        operation.takes_body::<T>(Required::True);
        operation.fails(&[
            ErrorCode::InvalidSignature,
            ErrorCode::StaleTimestamp,
            ErrorCode::MalformedRequest,
            ErrorCode::PayloadTooLarge,
            ErrorCode::ValidationFailed,
            ErrorCode::InvalidAmount,
        ]);
    }
}

fn kept(headers: &HeaderMap) -> Value {
    let mut all = Map::new();
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()))
        .take(HEADERS_MAX)
    {
        let text: String = String::from_utf8_lossy(value.as_bytes())
            .chars()
            .filter(|c| *c != '\0')
            .take(VALUE_LEN_MAX)
            .collect();
        all.insert(name.as_str().to_owned(), Value::String(text));
    }
    Value::Object(all)
}
