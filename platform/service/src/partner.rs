//! The partners of the configuration, as use cases need them: their secrets and keys, and the connection to a payout partner.

use std::sync::Arc;

use domain::partner_signature::PartnerSecret;
use domain::snap::signature::{ClientSecret, PublicKey};
use domain::snap::status::StatusCodes;

use super::money::payout_partner::PayoutPartner;

/// A QRIS partner, by how it signs its callbacks.
#[derive(Debug, Clone)]
pub enum Partner {
    /// HMAC-SHA256 over timestamp and raw body.
    Hmac {
        /// The secrets that are active now.
        secrets: Vec<PartnerSecret>,
    },
    /// SNAP BI.
    Snap(SnapPartner),
}

/// What is agreed with a SNAP partner.
#[derive(Debug, Clone)]
pub struct SnapPartner {
    /// Its notifications are signed with its RSA key, without an access token.
    pub asymmetric: bool,
    /// The client secrets that are active now.
    pub secrets: Vec<ClientSecret>,
    /// Its RSA keys that are active now.
    pub keys: Vec<PublicKey>,
    /// The meaning of its status codes.
    pub statuses: StatusCodes,
}

/// A partner that carries out payouts.
#[derive(Clone)]
pub struct PayoutChannel {
    /// The secrets that sign its callbacks.
    pub secrets: Vec<PartnerSecret>,
    /// The connection for instructions and questions. Without one, the partner reads its instructions elsewhere and answers
    /// by callbacks alone.
    pub connection: Option<Arc<dyn PayoutPartner>>,
}
