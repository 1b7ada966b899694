//! The bodies of what we ask a partner for, and of its answers.
//!
//! In all of them our transaction is `partnerReferenceNo`, so that a repeated request is recognised by the partner.

use serde::{Deserialize, Serialize};
use wire::ids::TransactionId;

use super::money::Money;

/// Body of `access-token/b2b`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRequest {
    /// `client_credentials`.
    pub grant_type: String,
}

/// The one grant that there is between businesses.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// Answer of `access-token/b2b`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = SnapToken))]
#[serde(rename_all = "camelCase")]
pub struct TokenAnswer {
    /// 2007300.
    pub response_code: String,
    /// For people.
    pub response_message: String,
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds, as text.
    pub expires_in: String,
}

/// Body of `qr-mpm-generate`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateRequest {
    /// Our transaction.
    pub partner_reference_no: TransactionId,
    /// How much the customer is asked for.
    pub amount: Money,
    /// The merchant, by its NMID.
    pub merchant_id: String,
    /// The till.
    pub terminal_id: String,
    /// Until when the code can be paid, as X-TIMESTAMP is written.
    pub validity_period: String,
}

/// Answer of `qr-mpm-generate`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateAnswer {
    /// The partner's name for the order.
    #[serde(default)]
    pub reference_no: Option<String>,
    /// The code.
    pub qr_content: String,
}

/// Body of `qr-mpm-query`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryRequest {
    /// The partner's name for the order, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_reference_no: Option<String>,
    /// Our transaction.
    pub original_partner_reference_no: TransactionId,
    /// What was asked for: 47.
    pub service_code: String,
    /// The merchant, by its NMID.
    pub merchant_id: String,
}

/// Body of `qr-mpm-refund`: all of a payment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// The partner's name for the money.
    pub original_reference_no: String,
    /// Our transaction.
    pub original_partner_reference_no: TransactionId,
    /// Our name for the refund; one transaction has one.
    pub partner_refund_no: String,
    /// All of it.
    pub refund_amount: Money,
    /// The merchant, by its NMID.
    pub merchant_id: String,
    /// For people.
    pub reason: String,
}

/// Body of `qr-mpm-cancel`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelRequest {
    /// The partner's name for the order, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_reference_no: Option<String>,
    /// Our transaction.
    pub original_partner_reference_no: TransactionId,
    /// The merchant, by its NMID.
    pub merchant_id: String,
    /// For people.
    pub reason: String,
}
