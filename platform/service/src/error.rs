//! The errors of use cases, as the API contract has them.

use domain::validation::FieldError;
use domain::{device, merchant};
use store::outage::Outage;

use super::code::ErrorCode;
use super::noun::Noun;

/// Why a use case failed. It has no effect on the database, unless a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist, or not for this caller.
    #[error("no such {}", .0.as_str())]
    NotFound(Noun),
    /// The thing is in a state in which this cannot be done.
    #[error("{message}")]
    InvalidState {
        /// The state it is in.
        current: String,
        /// What cannot be done.
        message: String,
    },
    /// Fields that break a rule.
    #[error("{} fields are wrong", .0.len())]
    Validation(Vec<FieldError>),
    /// An amount that cannot be paid.
    #[error("{0}")]
    InvalidAmount(String),
    /// The device is bound to no terminal.
    #[error("the device is not bound to a terminal")]
    DeviceNotBound,
    /// The device lacks a capability.
    #[error("the device does not have the capability {0}")]
    CapabilityNotSupported(&'static str),
    /// The key or reference was used before for something else, or is in use now.
    #[error("{message}")]
    Duplicate {
        /// What was used twice.
        message: String,
        /// When it may be tried again, seconds, if the other request is still being handled.
        retry_after_s: Option<u32>,
    },
    /// The caller is authenticated and not allowed to do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller is not authenticated.
    #[error("authentication is required")]
    Unauthenticated,
    /// No active user with this email and password, or with this one-time code. Which of them is wrong is not disclosed.
    #[error("email, password or code is wrong")]
    WrongLogin,
    /// The device is not known, or its code, token or certificate is not valid.
    #[error("{0}")]
    DeviceUnauthorized(&'static str),
    /// Too many requests.
    #[error("{message}")]
    RateLimited {
        /// What there was too much of.
        message: &'static str,
        /// When it may be tried again, seconds.
        retry_after_s: u32,
    },
    /// The merchant is paid directly and has no account.
    #[error("the merchant has no account to pay out to")]
    MerchantPayoutNotConfigured,
    /// Nothing to settle, or not in this state.
    #[error("{0}")]
    SettlementNotEligible(String),
    /// A partner did not answer in time.
    #[error("the partner did not answer in time")]
    PartnerTimeout,
    /// A partner's signature does not match.
    #[error("{0}")]
    InvalidSignature(&'static str),
    /// A partner's timestamp is too far from ours.
    #[error("the timestamp is too far from the server's time")]
    StaleTimestamp,
    /// More than may be sent.
    #[error("the file is too large")]
    TooLarge,
    /// Cannot be read at all.
    #[error("{0}")]
    Malformed(String),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Each try conflicted with another transaction; it may be tried again later.
    #[error("the database is busy")]
    Contended(#[source] sqlx::Error),
    /// More payments at once than can be queued; the partner is to repeat it.
    #[error("too many payments at once")]
    Overloaded,
    /// This process has lost its lease, and does not have another one yet.
    #[error("this process has no lease at the moment")]
    NoLease,
    /// A bug or a broken installation; the text is for the log only.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// One wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Validation(vec![FieldError::new(field, message)])
    }

    /// It was used before for something else.
    pub fn duplicate(message: impl Into<String>) -> Self {
        Self::Duplicate {
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// The error code of the contract.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(noun) => (*noun).into(),
            Self::InvalidState { .. } => ErrorCode::InvalidState,
            Self::Validation(_) => ErrorCode::ValidationFailed,
            Self::InvalidAmount(_) => ErrorCode::InvalidAmount,
            Self::DeviceNotBound => ErrorCode::DeviceNotBound,
            Self::CapabilityNotSupported(_) => ErrorCode::DeviceCapabilityNotSupported,
            Self::Duplicate { .. } => ErrorCode::DuplicateRequest,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::Unauthenticated | Self::WrongLogin => ErrorCode::Unauthenticated,
            Self::DeviceUnauthorized(_) => ErrorCode::DeviceUnauthorized,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::MerchantPayoutNotConfigured => ErrorCode::MerchantPayoutNotConfigured,
            Self::SettlementNotEligible(_) => ErrorCode::SettlementNotEligible,
            Self::PartnerTimeout => ErrorCode::PartnerTimeout,
            Self::InvalidSignature(_) => ErrorCode::InvalidSignature,
            Self::StaleTimestamp => ErrorCode::StaleTimestamp,
            Self::TooLarge => ErrorCode::PayloadTooLarge,
            Self::Malformed(_) => ErrorCode::MalformedRequest,
            Self::Contended(_) | Self::Overloaded | Self::NoLease => ErrorCode::Unavailable,
            Self::Database(_) | Self::Internal(_) => match self.outage() {
                Some(_) => ErrorCode::Unavailable,
                None => ErrorCode::Internal,
            },
        }
    }

    /// Why the database could not serve, when that is what happened.
    pub fn outage(&self) -> Option<Outage> {
        match self {
            Self::Database(error) | Self::Contended(error) => Outage::of(error),
            Self::Internal(error) => error
                .chain()
                .find_map(|cause| cause.downcast_ref::<sqlx::Error>())
                .and_then(Outage::of),
            _ => None,
        }
    }

    /// Whether the item itself caused the error, and not a database that is away, busy or broken: it would fail again.
    pub fn is_of_the_item(&self) -> bool {
        let error = match self {
            Self::Database(error) => error,
            Self::Contended(_) | Self::Overloaded | Self::NoLease => return false,
            other => return other.outage().is_none(),
        };
        match error {
            sqlx::Error::Database(error) => match error.code() {
                // Also the code for a row without a partition, which is not the row's fault; then no constraint is named.
                Some(code) if code == "23514" => error.constraint().is_some(),
                // Data exceptions, constraints, what triggers raise, limits of a row or an index.
                Some(code) => ["21", "22", "23", "P0", "54"]
                    .iter()
                    .any(|class| code.starts_with(class)),
                None => false,
            },
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::RowNotFound => true,
            _ => false,
        }
    }

    /// Whether a number did not fit into its column.
    pub(crate) fn is_out_of_range(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22003"))
    }

    /// Whether the error is a violation of this constraint.
    pub(crate) fn breaks(error: &sqlx::Error, constraint: &str) -> bool {
        error
            .as_database_error()
            .and_then(|error| error.constraint())
            == Some(constraint)
    }
}

impl From<merchant::InvalidTransition> for Error {
    fn from(error: merchant::InvalidTransition) -> Self {
        Self::InvalidState {
            current: error.current.to_string(),
            message: error.to_string(),
        }
    }
}

impl From<device::InvalidTransition> for Error {
    fn from(error: device::InvalidTransition) -> Self {
        Self::InvalidState {
            current: error.current.to_string(),
            message: error.to_string(),
        }
    }
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;
