//! `/pki/crl`: the certificate revocation list, without authentication.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use service::Context;
use service::fleet::crl;
use utoipa::openapi::{ContentBuilder, ResponseBuilder};

use crate::error::ApiError;
use crate::operation::{Describe, Operation};
use crate::routes::Routes;

/// RFC 2585 §4.2.
const MEDIA_TYPE: &str = "application/pkix-crl";

pub(super) fn routes() -> Routes {
    Routes::of("PKI").get(
        "/pki/crl",
        read,
        "The certificate revocation list (RFC 5280, DER), signed by the issuing CA",
        &[],
    )
}

/// A list, as DER.
struct Der(Bytes);

impl IntoResponse for Der {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // A cache must not delay a revocation.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

impl Describe for Der {
    fn describe(operation: &mut Operation) {
        // A body that is not JSON has no schema in OpenAPI 3.1.
        let answer = ResponseBuilder::new()
            .description("The list")
            .content(MEDIA_TYPE, ContentBuilder::new().build())
            .build();
        operation.answer = Some((200, answer));
    }
}

async fn read(State(context): State<Context>) -> Result<Der, ApiError> {
    Ok(Der(crl::current(&context).await?.der.clone()))
}
