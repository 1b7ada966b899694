//! The partners of the configuration, as use cases need them: their dialects, secrets and keys, and the connection to a
//! payout partner.

use std::sync::Arc;

use domain::dialect::Dialect;
use domain::dialect::signature::Credentials;
use domain::partner_signature::PartnerSecret;

use super::money::payout_partner::PayoutPartner;

/// A QRIS partner that sends us callbacks.
#[derive(Debug, Clone)]
pub struct Partner {
    /// How it speaks, with what the configuration changes of it.
    pub dialect: Arc<Dialect>,
    /// What its messages are checked with.
    pub credentials: Credentials,
    /// What names it in the header of its dialect, besides its id.
    pub sender_ids: Vec<String>,
}

impl Partner {
    /// Whether a header with this value names the partner of this id.
    pub(crate) fn is_named(&self, id: &str, value: &str) -> bool {
        id == value || self.sender_ids.iter().any(|own| own == value)
    }
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
