//! Keys and secrets of a running platform, read from where the configuration says they are.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use certs::authority::IssuingCa;

use super::problems::Problems;
use super::{keys, partners, pki};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::payment::qr_partner::QrPartner;
use crate::service::{Keys, Partner, PayoutChannel};

/// All of them.
pub(super) struct Secrets {
    pub(super) keys: Keys,
    pub(super) qris_partners: HashMap<String, Partner>,
    pub(super) qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    pub(super) payout_partners: HashMap<String, PayoutChannel>,
}

/// Reads them. What is missing is kept with `problems`; then there is no value, or one that lacks it.
pub(super) fn load(config: &Config, clock: &Clock, problems: &mut Problems) -> Option<Secrets> {
    let dir = config.pki_dir();
    let ca = problems.keep(IssuingCa::load(&dir).context(pki::CA));
    let announcement = keys::load(config, problems);
    let qris_partners = partners::qris(config, problems);
    let qr_partners = partners::issuers(config, clock, problems);
    let payout_partners = partners::payout(config, clock, problems);
    let (signer, announcement_keys) = announcement?;
    Some(Secrets {
        keys: Keys {
            ca: ca?,
            signer,
            announcement_keys,
        },
        qris_partners,
        qr_partners,
        payout_partners,
    })
}
