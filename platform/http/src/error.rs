//! Errors: `{"code", "message", "details", "request_id", "timestamp"}`.
//!
//! An error has a public part (the code of the contract and a message for the client's developer) and
//! a private one (the cause), which is logged where the answer is made and never sent.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use service::Error;
use service::retry::is_conflict;
use store::outage::Outage;

use super::request;
pub use service::ErrorCode;

/// How long a client should wait for a database that is away, in seconds.
pub(super) const UNAVAILABLE_RETRY_AFTER_S: u32 = 2;

/// An error on its way to a client.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    details: Option<Value>,
    retry_after_s: Option<u32>,
    /// The outage of the database, when that is the reason.
    outage: Option<Outage>,
    /// The cause, for the log alone.
    context: Option<anyhow::Error>,
    /// The transaction was rolled back because of another one: the request can be repeated.
    conflict: bool,
}

/// Marks the answer to a request whose transaction conflicted with another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conflict;

impl ApiError {
    /// An error with a message for the client's developer.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retry_after_s: None,
            outage: None,
            context: None,
            conflict: false,
        }
    }

    /// One field that breaks a rule.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Error::field(field, message).into()
    }

    /// An internal error, with its cause for the log.
    pub fn internal(context: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "internal error");
        error.context = Some(context.into());
        error
    }

    /// Unavailable for now; the client may try again soon.
    pub fn unavailable(message: impl Into<String>, context: Option<anyhow::Error>) -> Self {
        let mut error =
            Self::new(ErrorCode::Unavailable, message).retry_after(UNAVAILABLE_RETRY_AFTER_S);
        error.context = context;
        error
    }

    /// With structured details.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// With a `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let outage = error.outage();
        let plain = Self::new(error.code(), error.to_string());
        match error {
            Error::InvalidState { current, .. } => plain.details(json!({ "current": current })),
            Error::Validation(fields) => Self::new(
                ErrorCode::ValidationFailed,
                "some fields are missing or wrong",
            )
            .details(json!({ "fields": fields })),
            Error::CapabilityNotSupported(capability) => {
                plain.details(json!({ "capability": capability }))
            }
            Error::Duplicate {
                retry_after_s: Some(seconds),
                ..
            }
            | Error::RateLimited {
                retry_after_s: seconds,
                ..
            } => plain.retry_after(seconds),
            Error::Overloaded => plain.retry_after(UNAVAILABLE_RETRY_AFTER_S),
            Error::Database(error) => error.into(),
            Error::Contended(error) => {
                // It was repeated often enough.
                let mut busy = Self::from(error);
                busy.conflict = false;
                busy
            }
            Error::Internal(error) => match outage {
                Some(outage) => {
                    let mut refused = Self::unavailable(outage.to_string(), Some(error));
                    refused.outage = Some(outage);
                    refused
                }
                None => Self::internal(error),
            },
            _ => plain,
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        // The store reports a row that changed between reading and writing like this.
        if matches!(error, sqlx::Error::RowNotFound) {
            let mut changed = Self::new(
                ErrorCode::InvalidState,
                "this was changed by another request just now",
            );
            changed.context = Some(error.into());
            return changed;
        }
        let conflict = is_conflict(&error);
        match Outage::of(&error) {
            Some(outage) => {
                let mut refused = Self::unavailable(outage.to_string(), Some(error.into()));
                refused.outage = Some(outage);
                refused.conflict = conflict;
                refused
            }
            None => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(context) = &self.context {
            tracing::error!(code = self.code.as_str(), error = format!("{context:#}"));
        }
        let body = json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "request_id": request::id(),
            "timestamp": request::now(),
        });
        let mut response = (
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            axum::Json(body),
        )
            .into_response();
        if self.conflict {
            response.extensions_mut().insert(Conflict);
        }
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(outage) = self.outage {
            response.extensions_mut().insert(outage);
        }
        if self.code == ErrorCode::Unauthenticated || self.code == ErrorCode::DeviceUnauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_told_apart_from_a_bug() {
        let away = ApiError::from(sqlx::Error::PoolTimedOut);
        assert_eq!(
            (away.code(), away.retry_after_s),
            (ErrorCode::Unavailable, Some(UNAVAILABLE_RETRY_AFTER_S))
        );
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            ApiError::from(sqlx::Error::Io(reset)).code(),
            ErrorCode::Unavailable
        );
        assert_eq!(
            ApiError::from(sqlx::Error::ColumnNotFound("x".into())).code(),
            ErrorCode::Internal
        );
    }

    #[test]
    fn what_really_happened_is_not_sent() {
        let error = ApiError::from(Error::Internal(anyhow::anyhow!(
            "password of the vault is hunter2"
        )));
        assert_eq!(error.message, "internal error");
        assert!(error.details.is_none());
    }
}
