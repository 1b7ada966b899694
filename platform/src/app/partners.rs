//! The partners of the configuration, with their secrets read.

use std::collections::HashMap;

use anyhow::bail;
use domain::partner_signature::PartnerSecret;
use secrecy::ExposeSecret;

use crate::config::{Config, QrisProfile, read_secrets};
use crate::service::Partner;

/// The partners that may call `/integrations/qris/callback`.
///
/// # Errors
/// A secret that cannot be read.
pub(super) fn qris(config: &Config) -> anyhow::Result<HashMap<String, Partner>> {
    config
        .qris_partners
        .iter()
        .map(|(id, partner)| {
            let secrets = read_secrets(id, &partner.secret_files, &partner.secret_envs)?;
            let secrets = match partner.profile {
                QrisProfile::Hmac => secrets
                    .iter()
                    .map(|secret| PartnerSecret::new(secret.expose_secret().as_bytes()))
                    .collect(),
            };
            Ok((id.clone(), Partner { secrets }))
        })
        .collect()
}

/// The partner that merchants are registered with.
///
/// # Errors
/// None is named and there are several, or the named one is not configured.
pub(super) fn issuing(config: &Config) -> anyhow::Result<String> {
    let named = &config.payments.qr_partner;
    match (named.as_str(), config.qris_partners.len()) {
        ("", 0) => Ok("local".to_owned()),
        ("", 1) => Ok(config
            .qris_partners
            .keys()
            .next()
            .cloned()
            .unwrap_or_default()),
        ("", _) => bail!("configuration: payments.qr_partner must name one of [qris_partners]"),
        (named, _) if config.qris_partners.contains_key(named) => Ok(named.to_owned()),
        (named, _) => {
            bail!("configuration: payments.qr_partner: there is no [qris_partners.{named}]")
        }
    }
}
