//! Keys and secrets of a running platform, read from the files and variables that the configuration names.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use certs::authority::IssuingCa;
use service::clock::Clock;
use service::payment::qr_partner::QrPartner;
use service::{Keys, Partner, PayoutChannel};

use super::problems::Problems;
use super::{keys, partners, server_certificate};
use crate::config::Config;

/// All of them; a command that reads and writes the database alone has none, or those that it needs.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) keys: Option<Keys>,
    pub(super) qris_partners: HashMap<String, Partner>,
    pub(super) qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    pub(super) payout_partners: HashMap<String, PayoutChannel>,
}

/// Reads them. What is missing is added to `problems`; then the value is absent or incomplete.
pub(super) fn load(config: &Config, clock: &Clock, problems: &mut Problems) -> Option<Secrets> {
    let dir = config.pki_dir();
    let ca = problems.keep(IssuingCa::load(&dir).context(server_certificate::CA));
    let announcement = keys::load(config, problems);
    let qris_partners = partners::qris(config, problems);
    let qr_partners = partners::issuers(config, clock, problems);
    let payout_partners = partners::payout(config, clock, problems);
    let (signer, announcement_keys) = announcement?;
    Some(Secrets {
        keys: Some(Keys {
            ca: ca?,
            signer,
            announcement_keys,
        }),
        qris_partners,
        qr_partners,
        payout_partners,
    })
}
