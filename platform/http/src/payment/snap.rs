//! SNAP BI's side of the API: `/v1.0/access-token/b2b` and `/v1.0/qr/qr-mpm-notify`, and the paths of dialects that differ.
//! Answers have the dialect's form, without our envelope.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::snap::answer::Answer;
use domain::snap::order::TokenAnswer;
use domain::snap::signature::{CLIENT_KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use serde_json::{Value, json};
use service::Context;
use service::payment::callback::{self, NamedBy};
use service::payment::partner_token::{self, Issued, TokenClaim};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use super::callback::{CallbackReply, plain};
use crate::error::{ApiError, ErrorCode};
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
    TokenReply(partner_token::issue(&context, &request.path, &request.claim, &request.body).await)
}

async fn notify(
    State(context): State<Context>,
    mut call: Signed<NotifyBody>,
) -> Result<NotifyReply, ApiError> {
    call.incoming.named_by = NamedBy::Dialect;
    let reply = callback::dialect::receive(&context, call.incoming).await;
    CallbackReply::of(reply).map(NotifyReply)
}

/// The paths that only the dialects of the configured partners have. They are not in the document, because they differ from
/// one installation to the next; docs/acquirers.md lists those of the built-in dialects.
pub(super) fn of_dialects(context: &Context) -> Router<Context> {
    let known = routes().into_endpoints();
    let is_new = |path: &&str| !known.iter().any(|endpoint| endpoint.path == *path);
    let dialects: Vec<_> = context
        .qris_partners()
        .map(|(_, partner)| &partner.dialect.inbound)
        .collect();
    let notify_paths = dialects.iter().flat_map(|inbound| &inbound.paths);
    let notify_paths: BTreeSet<&str> = notify_paths.map(String::as_str).filter(is_new).collect();
    let token_paths = dialects
        .iter()
        .filter_map(|inbound| inbound.token_path.as_deref());
    let token_paths: BTreeSet<&str> = token_paths.filter(is_new).collect();
    let mut router = Router::new();
    for path in notify_paths {
        router = router.route(path, post(notify));
    }
    for path in token_paths {
        router = router.route(path, post(access_token));
    }
    router
}

/// What a partner says of a payment; fields of its own may stand besides.
#[derive(ToSchema)]
#[schema(as = QrMpmNotify, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "the form of what domain::dialect reads, for the document alone"
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
    path: String,
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
        let path = request.uri().path().to_owned();
        let body = read_whole(request, state).await?;
        Ok(Self { path, claim, body })
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
            } => plain(http_status, json!(answer), outage),
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
struct NotifyReply(CallbackReply);

impl IntoResponse for NotifyReply {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl Describe for NotifyReply {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::SnapPartners;
        operation.answers_plainly::<Answer>(&[200, 400, 401, 404, 409, 500, 503]);
    }
}
