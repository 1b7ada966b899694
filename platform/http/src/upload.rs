//! A file as the body of a request, taken as it comes in.

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{ContentBuilder, Required};

use super::error::{ApiError, ErrorCode};
use super::idempotency::{Scoped, describe, scope_of};
use super::operation::{BODY_ERRORS, Describe, Idempotency, Operation};

/// The type that a CSV file is sent as; parameters such as the charset may follow.
const CSV: &str = "text/csv";

/// A CSV file, and the idempotency key that it may have come with. Comes after the extractor of who asks.
pub(super) struct Csv {
    /// The file.
    pub(super) file: BodyDataStream,
    /// The key, which is bound to the file's bytes when they are known.
    pub(super) key: Option<Scoped>,
}

impl<S: Send + Sync> FromRequest<S> for Csv {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let key = scope_of(&request)?;
        let is_csv = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(CSV));
        if !is_csv {
            return Err(ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "the Content-Type must be text/csv",
            ));
        }
        Ok(Self {
            file: Body::into_data_stream(request.into_body()),
            key,
        })
    }
}

impl Describe for Csv {
    fn describe(operation: &mut Operation) {
        describe(operation, Idempotency::Honoured, Required::False);
        operation.body = Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content(CSV, ContentBuilder::new().build())
                .build(),
        );
        operation.fails(&BODY_ERRORS);
    }
}
