//! Messages that partners sign: callbacks of QRIS partners in all dialects, and of payout partners.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use domain::dialect::signature::Headers;
use domain::partner_signature::{PARTNER_ID_HEADER, SIGNATURE_HEADER};
use domain::snap::signature as snap;
use serde_json::{Map, Value};
use service::payment::callback::{Incoming, NamedBy};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use super::error::{ApiError, ErrorCode};
use super::json::read_whole;
use super::operation::{Callers, Describe, Operation};
use super::rate::Origin;
use super::request;

/// Headers that may hold credentials: never stored. A dialect adds its own.
const CREDENTIALS: [&str; 6] = [
    SIGNATURE_HEADER,
    snap::SIGNATURE_HEADER,
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-callback-token",
];
/// How many headers are stored, and how many characters of a value.
const HEADERS_MAX: usize = 40;
/// How many are read: the server takes no more.
const HEADERS_READ_MAX: usize = 128;
const VALUE_LEN_MAX: usize = 256;

/// A signed message of a partner: a `T`, taken as bytes, because the signature is verified on the bytes before anything is
/// parsed.
pub(super) struct Signed<T> {
    pub(super) incoming: Incoming,
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
        let incoming = Incoming {
            path,
            partner_id: header(&headers, PARTNER_ID_HEADER),
            named_by: NamedBy::Header,
            kept_headers: stored(&headers),
            headers: Headers::new(texts(&headers)),
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

/// The headers as they are stored with the message: without credentials, limited in number and length.
fn stored(headers: &HeaderMap) -> Value {
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

/// The headers that are texts, limited in number.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .take(HEADERS_READ_MAX)
        .collect()
}

/// The text of a header, if there is one and it is ASCII.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}
