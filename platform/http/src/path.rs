//! Ids in paths. A text that is not an id is answered as not found, like an id that does not exist.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use service::span;
use service::{Error, Noun};
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::{PartialSchema as _, ToSchema};
use wire::ids::{
    AlertId, ApprovalId, BulkCommandId, CallbackId, CommandId, DeviceId, FirmwareId, IncidentId,
    MerchantId, OutletId, ReconciliationId, SettlementId, TerminalId, TokenId, TransactionId,
    UnmatchedPaymentId, UserId, WebhookDeliveryId, WebhookEndpointId,
};

use super::error::ApiError;
use super::operation::{Describe, Operation};

/// An id in a path.
pub trait PathId: FromStr + Display + ToSchema + Send {
    /// The name of the parameter in routes, as in `/admin/merchants/{merchant_id}`.
    const PARAMETER: &'static str;
    /// The noun of the not-found error.
    const NOUN: Noun;
}

macro_rules! path_ids {
    ($($id:ident, $parameter:literal, $noun:ident;)+) => {
        $(impl PathId for $id {
            const PARAMETER: &'static str = $parameter;
            const NOUN: Noun = Noun::$noun;
        })+
    };
}

path_ids! {
    MerchantId, "merchant_id", Merchant;
    OutletId, "outlet_id", Outlet;
    TerminalId, "terminal_id", Terminal;
    DeviceId, "device_id", Device;
    CommandId, "command_id", Command;
    BulkCommandId, "bulk_command_id", BulkCommand;
    FirmwareId, "firmware_id", Firmware;
    AlertId, "alert_id", Alert;
    TransactionId, "transaction_id", Transaction;
    IncidentId, "incident_id", Incident;
    UnmatchedPaymentId, "unmatched_payment_id", UnmatchedPayment;
    SettlementId, "settlement_id", Settlement;
    ApprovalId, "approval_id", Approval;
    ReconciliationId, "reconciliation_id", Reconciliation;
    UserId, "user_id", User;
    TokenId, "token_id", Token;
    CallbackId, "callback_id", Callback;
    WebhookEndpointId, "endpoint_id", WebhookEndpoint;
    WebhookDeliveryId, "delivery_id", WebhookDelivery;
}

/// The id in the path.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let not_found = || ApiError::from(Error::NotFound(T::NOUN));
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| not_found())?;
        let id: T = parameters
            .iter()
            .find(|(name, _)| *name == T::PARAMETER)
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(not_found)?;
        span::set(T::PARAMETER, &id);
        Ok(Self(id))
    }
}

impl<T: PathId> Describe for Id<T> {
    fn describe(operation: &mut Operation) {
        operation.takes(
            ParameterBuilder::new()
                .name(T::PARAMETER)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(T::schema()))
                .build(),
        );
        operation.fails(&[T::NOUN.into()]);
    }
}

/// The name of a fee profile in the path; an impossible name is not found either.
#[derive(Debug, Clone)]
pub struct FeeProfileId(pub String);

impl FeeProfileId {
    const PARAMETER: &'static str = "fee_profile_id";
}

impl<S: Send + Sync> FromRequestParts<S> for FeeProfileId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let not_found = || ApiError::from(Error::NotFound(Noun::FeeProfile));
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| not_found())?;
        parameters
            .iter()
            .find(|(name, value)| *name == Self::PARAMETER && !value.contains('\0'))
            .map(|(_, value)| Self(value.to_owned()))
            .ok_or_else(not_found)
    }
}

impl Describe for FeeProfileId {
    fn describe(operation: &mut Operation) {
        operation.takes(
            ParameterBuilder::new()
                .name(Self::PARAMETER)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(String::schema()))
                .build(),
        );
        operation.fails(&[Noun::FeeProfile.into()]);
    }
}
