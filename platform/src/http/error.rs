//! Errors as clients see them: `{"code", "message", "details", "request_id", "timestamp"}`.
//!
//! An error has a public side (the code of the contract and a message for the client's developer)
//! and a private one (what really happened), which is logged where the answer is made and never
//! sent.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::request;
use crate::service::{Error, Noun};

/// Declares the codes of the contract with their statuses.
macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $text:literal, $status:ident;)+) => {
        /// The error codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$meta])* $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in `code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

error_codes! {
    /// The request is not JSON, or not HTTP as we understand it.
    MalformedRequest = "MALFORMED_REQUEST", BAD_REQUEST;
    /// This route wants an `Idempotency-Key`.
    IdempotencyKeyRequired = "IDEMPOTENCY_KEY_REQUIRED", BAD_REQUEST;
    /// No valid token.
    Unauthenticated = "UNAUTHENTICATED", UNAUTHORIZED;
    /// The device is not known, or its code, token or certificate is not valid.
    DeviceUnauthorized = "DEVICE_UNAUTHORIZED", UNAUTHORIZED;
    /// The partner's signature does not match.
    InvalidSignature = "INVALID_SIGNATURE", UNAUTHORIZED;
    /// The partner's timestamp is too far from our time.
    StaleTimestamp = "STALE_TIMESTAMP", UNAUTHORIZED;
    /// Known, and not allowed.
    Forbidden = "FORBIDDEN", FORBIDDEN;
    /// No such path.
    RouteNotFound = "ROUTE_NOT_FOUND", NOT_FOUND;
    /// No such merchant, or not the caller's.
    MerchantNotFound = "MERCHANT_NOT_FOUND", NOT_FOUND;
    /// No such outlet, or not the caller's.
    OutletNotFound = "OUTLET_NOT_FOUND", NOT_FOUND;
    /// No such terminal, or not the caller's.
    TerminalNotFound = "TERMINAL_NOT_FOUND", NOT_FOUND;
    /// No such device, or not the caller's.
    DeviceNotFound = "DEVICE_NOT_FOUND", NOT_FOUND;
    /// No such binding.
    BindingNotFound = "BINDING_NOT_FOUND", NOT_FOUND;
    /// No such transaction, or not the caller's.
    TransactionNotFound = "TRANSACTION_NOT_FOUND", NOT_FOUND;
    /// No such notification.
    NotificationNotFound = "NOTIFICATION_NOT_FOUND", NOT_FOUND;
    /// No such fee profile.
    FeeProfileNotFound = "FEE_PROFILE_NOT_FOUND", NOT_FOUND;
    /// The path exists, with other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED;
    /// The thing is in a state in which this cannot be done; `details.current` names it.
    InvalidState = "INVALID_STATE", CONFLICT;
    /// The key or the reference was used for something else, or is in use now.
    DuplicateRequest = "DUPLICATE_REQUEST", CONFLICT;
    /// The device stands at no terminal.
    DeviceNotBound = "DEVICE_NOT_BOUND", CONFLICT;
    /// Nothing to settle, or not in this state.
    SettlementNotEligible = "SETTLEMENT_NOT_ELIGIBLE", CONFLICT;
    /// The merchant has no account to pay out to.
    MerchantPayoutNotConfigured = "MERCHANT_PAYOUT_NOT_CONFIGURED", CONFLICT;
    /// The body is too large.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE;
    /// The body is not `application/json`.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE;
    /// Fields break rules; `details` lists them.
    ValidationFailed = "VALIDATION_FAILED", UNPROCESSABLE_ENTITY;
    /// Not an amount that can be paid.
    InvalidAmount = "INVALID_AMOUNT", UNPROCESSABLE_ENTITY;
    /// The device lacks a capability.
    DeviceCapabilityNotSupported = "DEVICE_CAPABILITY_NOT_SUPPORTED", UNPROCESSABLE_ENTITY;
    /// Too often; `Retry-After` says when again.
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS;
    /// Our fault.
    Internal = "INTERNAL", INTERNAL_SERVER_ERROR;
    /// The database is away, or the request took too long; `Retry-After` says when again.
    Unavailable = "UNAVAILABLE", SERVICE_UNAVAILABLE;
    /// The partner did not answer in time.
    PartnerTimeout = "PARTNER_TIMEOUT", GATEWAY_TIMEOUT;
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<Noun> for ErrorCode {
    fn from(noun: Noun) -> Self {
        match noun {
            Noun::Merchant => Self::MerchantNotFound,
            Noun::Outlet => Self::OutletNotFound,
            Noun::Terminal => Self::TerminalNotFound,
            Noun::Device => Self::DeviceNotFound,
            Noun::Binding => Self::BindingNotFound,
            Noun::Transaction => Self::TransactionNotFound,
            Noun::Notification => Self::NotificationNotFound,
            Noun::FeeProfile => Self::FeeProfileNotFound,
        }
    }
}

/// How long a client should wait for a database that is away, in seconds.
const UNAVAILABLE_RETRY_AFTER_S: u32 = 2;

/// An error on its way to a client.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    details: Option<Value>,
    retry_after_s: Option<u32>,
    /// For the log alone.
    context: Option<anyhow::Error>,
}

impl ApiError {
    /// An error with a message for the client's developer.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retry_after_s: None,
            context: None,
        }
    }

    /// One field that breaks a rule.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Error::field(field, message).into()
    }

    /// Our fault, with what happened for the log.
    pub fn internal(context: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "internal error");
        error.context = Some(context.into());
        error
    }

    /// Not now; try again soon.
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
        let message = error.to_string();
        match error {
            Error::NotFound(noun) => Self::new(noun.into(), message),
            Error::InvalidState { current, .. } => {
                Self::new(ErrorCode::InvalidState, message).details(json!({ "current": current }))
            }
            Error::Validation(fields) => Self::new(
                ErrorCode::ValidationFailed,
                "some fields are missing or wrong",
            )
            .details(json!({ "fields": fields })),
            Error::InvalidAmount(_) => Self::new(ErrorCode::InvalidAmount, message),
            Error::DeviceNotBound => Self::new(ErrorCode::DeviceNotBound, message),
            Error::CapabilityNotSupported(capability) => {
                Self::new(ErrorCode::DeviceCapabilityNotSupported, message)
                    .details(json!({ "capability": capability }))
            }
            Error::Duplicate { retry_after_s, .. } => {
                let mut duplicate = Self::new(ErrorCode::DuplicateRequest, message);
                duplicate.retry_after_s = retry_after_s;
                duplicate
            }
            Error::Forbidden(_) => Self::new(ErrorCode::Forbidden, message),
            Error::Unauthenticated => Self::new(ErrorCode::Unauthenticated, message),
            Error::DeviceUnauthorized(_) => Self::new(ErrorCode::DeviceUnauthorized, message),
            Error::RateLimited { retry_after_s, .. } => {
                Self::new(ErrorCode::RateLimited, message).retry_after(retry_after_s)
            }
            Error::PartnerTimeout => Self::new(ErrorCode::PartnerTimeout, message),
            Error::InvalidSignature(_) => Self::new(ErrorCode::InvalidSignature, message),
            Error::StaleTimestamp => Self::new(ErrorCode::StaleTimestamp, message),
            Error::Malformed(_) => Self::new(ErrorCode::MalformedRequest, message),
            Error::Database(error) => error.into(),
            Error::Internal(error) => Self::internal(error),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        // The store's word for a row that changed between our look and our write.
        if matches!(error, sqlx::Error::RowNotFound) {
            let mut changed = Self::new(
                ErrorCode::InvalidState,
                "this was changed by another request just now",
            );
            changed.context = Some(error.into());
            return changed;
        }
        // The pool and the socket fail when the server is away. The rest are bugs, but for what
        // Postgres says of itself: shutting down, starting, full, or two transactions in each
        // other's way.
        let away = match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08")
                    || matches!(
                        &*code,
                        "40001" | "40P01" | "53300" | "55P03" | "57P01" | "57P02" | "57P03"
                    )
            }),
            _ => false,
        };
        if away {
            Self::unavailable(
                "the database cannot be reached at the moment",
                Some(error.into()),
            )
        } else {
            Self::internal(error)
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(context) = &self.context {
            tracing::error!(
                request_id = request::id(),
                code = self.code.as_str(),
                error = format!("{context:#}")
            );
        }
        let body = json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "request_id": request::id(),
            "timestamp": request::now(),
        });
        let mut response = (self.code.status(), axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
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

    #[test]
    fn every_code_is_the_name_of_its_variant() {
        for code in ErrorCode::ALL {
            let spelled = code.as_str().replace('_', "").to_lowercase();
            assert_eq!(format!("{code:?}").to_lowercase(), spelled);
        }
    }
}
