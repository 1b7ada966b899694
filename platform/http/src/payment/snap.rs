//! SNAP BI's side of the API: `/v1.0/access-token/b2b` and `/v1.0/qr/qr-mpm-notify`. Answers have SNAP's form, without our
//! envelope.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::snap::answer::Answer;
use domain::snap::order::TokenAnswer;
use domain::snap::signature::{CLIENT_KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use serde_json::Value;
use service::Context;
use service::payment::callback::snap::{self, SnapReply};
use service::payment::partner_token::{self, Issued, TokenClaim};
use store::outage::Outage;
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::error::{ApiError, ErrorCode, UNAVAILABLE_RETRY_AFTER_S};
use crate::json::read_whole;
use crate::operation::{Callers, Describe, Operation};
use crate::routes::Routes;
use crate::signed::{Signed, header};

pub(super) fn routes() -> Routes {
    Routes::of("SNAP BI")
        .post(
            "/v1.0/access-token/b2b",
            access_token,
            "A partner's access token, for fifteen minutes",
            &[],
        )
        .post(
            "/v1.0/qr/qr-mpm-notify",
            notify,
            "A SNAP partner tells us what became of a payment",
            &[],
        )
}

async fn access_token(State(context): State<Context>, request: TokenRequest) -> TokenReply {
    TokenReply(partner_token::issue(&context, &request.claim, &request.body).await)
}

async fn notify(State(context): State<Context>, call: Signed<NotifyBody>) -> NotifyReply {
    NotifyReply(snap::receive(&context, call.incoming).await)
}

/// What a partner says of a payment; fields of its own may stand besides.
#[derive(ToSchema)]
#[schema(as = QrMpmNotify, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "the form of what domain::snap::notification reads, for the document alone"
)]
pub(super) struct NotifyBody {
    /// The partner's name for the money.
    original_reference_no: String,
    /// Our transaction; none for a payment on a printed code.
    original_partner_reference_no: Option<String>,
    /// Two digits, with the meaning that the partner's configuration gives them.
    latest_transaction_status: String,
    amount: MoneyBody,
    /// `nmid` and `terminalLabel` of a printed code, `rrn`, `issuer`, `paidTime`.
    #[schema(value_type = Option<Object>)]
    additional_info: Option<Value>,
}

/// An amount as SNAP writes it.
#[derive(ToSchema)]
#[schema(as = SnapMoney)]
#[expect(dead_code, reason = "for the document alone")]
struct MoneyBody {
    /// With two decimals, which are zero.
    #[schema(pattern = "^[0-9]+(\\.0{1,2})?$")]
    value: String,
    #[schema(pattern = "^IDR$")]
    currency: String,
}

struct TokenRequest {
    claim: TokenClaim,
    body: Bytes,
}

/// Its body.
#[derive(ToSchema)]
#[schema(as = AccessTokenRequest, rename_all = "camelCase")]
#[expect(dead_code, reason = "for the document alone")]
struct GrantBody {
    #[schema(pattern = "^client_credentials$")]
    grant_type: String,
}

impl<S: Send + Sync> FromRequest<S> for TokenRequest {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let claim = {
            let text = |name| header(request.headers(), name);
            TokenClaim {
                client_key: text(CLIENT_KEY_HEADER),
                timestamp: text(TIMESTAMP_HEADER),
                signature: text(SIGNATURE_HEADER),
            }
        };
        let body = read_whole(request, state).await?;
        Ok(Self { claim, body })
    }
}

impl Describe for TokenRequest {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::SnapPartners;
        operation.takes_body::<GrantBody>(Required::True);
        operation.fails(&[ErrorCode::MalformedRequest, ErrorCode::PayloadTooLarge]);
    }
}

/// The answer to a request for a token.
struct TokenReply(Issued);

impl IntoResponse for TokenReply {
    fn into_response(self) -> Response {
        match self.0 {
            Issued::Token(token) => (StatusCode::OK, Json(token)).into_response(),
            Issued::Refused {
                http_status,
                answer,
                outage,
            } => plain(http_status, &answer, outage),
        }
    }
}

impl Describe for TokenReply {
    fn describe(operation: &mut Operation) {
        operation.answers_plainly::<Answer>(&[400, 401, 500, 503]);
        operation.answers_plainly::<TokenAnswer>(&[200]);
    }
}

/// The answer to a notification.
pub(super) struct NotifyReply(pub(super) SnapReply);

impl IntoResponse for NotifyReply {
    fn into_response(self) -> Response {
        plain(self.0.http_status, &self.0.answer, self.0.outage)
    }
}

impl Describe for NotifyReply {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::SnapPartners;
        operation.answers_plainly::<Answer>(&[200, 400, 401, 404, 409, 500, 503]);
    }
}

fn plain(status: u16, answer: &Answer, outage: Option<Outage>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(answer)).into_response();
    if let Some(outage) = outage {
        let wait = HeaderValue::from(UNAVAILABLE_RETRY_AFTER_S);
        response.headers_mut().insert(RETRY_AFTER, wait);
        response.extensions_mut().insert(outage);
    }
    response
}
