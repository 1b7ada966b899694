//! The error codes of the contract, each with its HTTP status.

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::noun::Noun;

/// Declares the codes of the contract with their statuses.
macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $text:literal, $status:literal;)+) => {
        /// The error codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

error_codes! {
    /// The request is not JSON, or not HTTP as we understand it.
    MalformedRequest = "MALFORMED_REQUEST", 400;
    /// This route wants an `Idempotency-Key`.
    IdempotencyKeyRequired = "IDEMPOTENCY_KEY_REQUIRED", 400;
    /// No valid token.
    Unauthenticated = "UNAUTHENTICATED", 401;
    /// The device is not known, or its code, token or certificate is not valid.
    DeviceUnauthorized = "DEVICE_UNAUTHORIZED", 401;
    /// The partner's signature does not match.
    InvalidSignature = "INVALID_SIGNATURE", 401;
    /// The partner's timestamp is too far from our time.
    StaleTimestamp = "STALE_TIMESTAMP", 401;
    /// Known, and not allowed.
    Forbidden = "FORBIDDEN", 403;
    /// No such path.
    RouteNotFound = "ROUTE_NOT_FOUND", 404;
    /// No such merchant, or not the caller's.
    MerchantNotFound = "MERCHANT_NOT_FOUND", 404;
    /// No such outlet, or not the caller's.
    OutletNotFound = "OUTLET_NOT_FOUND", 404;
    /// No such terminal, or not the caller's.
    TerminalNotFound = "TERMINAL_NOT_FOUND", 404;
    /// No such device, or not the caller's.
    DeviceNotFound = "DEVICE_NOT_FOUND", 404;
    /// No such binding.
    BindingNotFound = "BINDING_NOT_FOUND", 404;
    /// No such transaction, or not the caller's.
    TransactionNotFound = "TRANSACTION_NOT_FOUND", 404;
    /// No such incident.
    IncidentNotFound = "INCIDENT_NOT_FOUND", 404;
    /// No such unmatched payment.
    UnmatchedPaymentNotFound = "UNMATCHED_PAYMENT_NOT_FOUND", 404;
    /// No such notification.
    NotificationNotFound = "NOTIFICATION_NOT_FOUND", 404;
    /// No such command of this device.
    CommandNotFound = "COMMAND_NOT_FOUND", 404;
    /// No such bulk command.
    BulkCommandNotFound = "BULK_COMMAND_NOT_FOUND", 404;
    /// No such firmware.
    FirmwareNotFound = "FIRMWARE_NOT_FOUND", 404;
    /// No such alert.
    AlertNotFound = "ALERT_NOT_FOUND", 404;
    /// No such settlement, or not the caller's.
    SettlementNotFound = "SETTLEMENT_NOT_FOUND", 404;
    /// No such fee profile.
    FeeProfileNotFound = "FEE_PROFILE_NOT_FOUND", 404;
    /// No such proposal.
    ApprovalNotFound = "APPROVAL_NOT_FOUND", 404;
    /// No such comparison.
    ReconciliationNotFound = "RECONCILIATION_NOT_FOUND", 404;
    /// No such user.
    UserNotFound = "USER_NOT_FOUND", 404;
    /// No such token.
    TokenNotFound = "TOKEN_NOT_FOUND", 404;
    /// No such certificate of this device.
    CredentialNotFound = "CREDENTIAL_NOT_FOUND", 404;
    /// No such callback.
    CallbackNotFound = "CALLBACK_NOT_FOUND", 404;
    /// No acquirer of this id is configured.
    PartnerNotFound = "PARTNER_NOT_FOUND", 404;
    /// No such webhook endpoint.
    WebhookEndpointNotFound = "WEBHOOK_ENDPOINT_NOT_FOUND", 404;
    /// No such message to a webhook endpoint.
    WebhookDeliveryNotFound = "WEBHOOK_DELIVERY_NOT_FOUND", 404;
    /// The path exists, with other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405;
    /// The thing is in a state in which this cannot be done; `details.current` names it.
    InvalidState = "INVALID_STATE", 409;
    /// The key or the reference was used for something else, or is in use now.
    DuplicateRequest = "DUPLICATE_REQUEST", 409;
    /// The device stands at no terminal.
    DeviceNotBound = "DEVICE_NOT_BOUND", 409;
    /// Nothing to settle, or not in this state.
    SettlementNotEligible = "SETTLEMENT_NOT_ELIGIBLE", 409;
    /// The merchant has no account to pay out to.
    MerchantPayoutNotConfigured = "MERCHANT_PAYOUT_NOT_CONFIGURED", 409;
    /// The body is too large.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413;
    /// The body is not `application/json`.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415;
    /// Fields break rules; `details` lists them.
    ValidationFailed = "VALIDATION_FAILED", 422;
    /// Not an amount that can be paid.
    InvalidAmount = "INVALID_AMOUNT", 422;
    /// The device lacks a capability.
    DeviceCapabilityNotSupported = "DEVICE_CAPABILITY_NOT_SUPPORTED", 422;
    /// Too often; `Retry-After` says when again.
    RateLimited = "RATE_LIMITED", 429;
    /// Our fault.
    Internal = "INTERNAL", 500;
    /// The database is away, or the request took too long; `Retry-After` says when again.
    Unavailable = "UNAVAILABLE", 503;
    /// The partner did not answer in time.
    PartnerTimeout = "PARTNER_TIMEOUT", 504;
}

impl utoipa::PartialSchema for ErrorCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl utoipa::ToSchema for ErrorCode {}

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
            Noun::Incident => Self::IncidentNotFound,
            Noun::UnmatchedPayment => Self::UnmatchedPaymentNotFound,
            Noun::Notification => Self::NotificationNotFound,
            Noun::Command => Self::CommandNotFound,
            Noun::BulkCommand => Self::BulkCommandNotFound,
            Noun::Firmware => Self::FirmwareNotFound,
            Noun::Alert => Self::AlertNotFound,
            Noun::Settlement => Self::SettlementNotFound,
            Noun::FeeProfile => Self::FeeProfileNotFound,
            Noun::Approval => Self::ApprovalNotFound,
            Noun::Reconciliation => Self::ReconciliationNotFound,
            Noun::User => Self::UserNotFound,
            Noun::Token => Self::TokenNotFound,
            Noun::Credential => Self::CredentialNotFound,
            Noun::Callback => Self::CallbackNotFound,
            Noun::Partner => Self::PartnerNotFound,
            Noun::WebhookEndpoint => Self::WebhookEndpointNotFound,
            Noun::WebhookDelivery => Self::WebhookDeliveryNotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_name_of_its_variant() {
        for code in ErrorCode::ALL {
            let spelled = code.as_str().replace('_', "").to_lowercase();
            assert_eq!(format!("{code:?}").to_lowercase(), spelled);
        }
    }
}
