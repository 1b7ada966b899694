//! `/integrations/qris/callback`: the acquirer tells us of a payment.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use domain::partner_signature::{PARTNER_ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use serde_json::{Map, Value};

use super::envelope;
use super::error::ApiError;
use super::request;
use super::routes::Routes;
use crate::service::callback::{self, Incoming};
use crate::service::{Context, Reply};

/// Headers that prove who calls, or might: never kept.
const CREDENTIALS: [&str; 4] = [
    SIGNATURE_HEADER,
    "authorization",
    "cookie",
    "proxy-authorization",
];
/// The most headers, and the longest value, that are kept.
const HEADERS_MAX: usize = 40;
const VALUE_LEN_MAX: usize = 256;

pub(super) fn routes() -> Routes {
    Routes::new().route("/integrations/qris/callback", post(receive))
}

/// The body is taken as bytes: the signature is checked on them before anything is parsed.
async fn receive(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, ApiError> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let incoming = Incoming {
        partner_id: text(PARTNER_ID_HEADER),
        timestamp: text(TIMESTAMP_HEADER),
        signature: text(SIGNATURE_HEADER),
        headers: kept(&headers),
        body,
        request_id: Some(request::id()),
    };
    envelope::ok(&callback::receive(&context, incoming).await?)
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
