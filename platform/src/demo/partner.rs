//! The partners of the demonstration and their secrets, made once and kept.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::rand;
use platform::config::{Config, PayoutPartner, QrisPartner, QrisProfile};
use serde::Serialize;

use super::private_file;

const ACQUIRER: &str = "demo-acquirer";
const BANK: &str = "demo-bank";

/// A partner as demo.json tells of it. It has no `Debug`: it holds the secret.
#[derive(Serialize)]
pub(super) struct Partner {
    /// `X-Partner-Id`.
    pub(super) id: &'static str,
    /// What signs its callbacks.
    pub(super) secret: String,
}

/// Both partners.
pub(super) struct Partners {
    /// Calls `/integrations/qris/callback`.
    pub(super) qris: Partner,
    /// Calls `/integrations/bank/payout-callback`.
    pub(super) payout: Partner,
}

/// Makes the secrets that are missing and puts the partners into the configuration.
///
/// # Errors
/// A data directory that cannot be written.
pub(super) fn configure(config: &mut Config) -> anyhow::Result<Partners> {
    let dir = config.data_dir().join("secrets");
    private_file::make_dir(&dir)?;
    let acquirer_file = dir.join(ACQUIRER);
    let bank_file = dir.join(BANK);
    let partners = Partners {
        qris: Partner {
            id: ACQUIRER,
            secret: secret(&acquirer_file)?,
        },
        payout: Partner {
            id: BANK,
            secret: secret(&bank_file)?,
        },
    };
    config.qris_partners.insert(
        ACQUIRER.to_owned(),
        QrisPartner {
            profile: QrisProfile::Hmac,
            secret_files: vec![acquirer_file],
            ..QrisPartner::default()
        },
    );
    if config.payments.qr_partner.is_empty() {
        ACQUIRER.clone_into(&mut config.payments.qr_partner);
    }
    config.payout_partners.insert(
        BANK.to_owned(),
        PayoutPartner {
            secret_files: vec![bank_file],
            secret_envs: Vec::new(),
        },
    );
    Ok(partners)
}

/// Where the secret of a partner is.
///
/// # Errors
/// There is no such partner.
pub(super) fn secret_file(config: &Config, id: &str) -> anyhow::Result<PathBuf> {
    config
        .qris_partners
        .get(id)
        .and_then(|partner| partner.secret_files.first().cloned())
        .with_context(|| format!("there is no partner {id}"))
}

/// The secret in `file`; a new one when there is none.
fn secret(file: &Path) -> anyhow::Result<String> {
    if file.exists() {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        return Ok(text.trim_end().to_owned());
    }
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).context("the system gives no random bytes")?;
    let secret = hex::encode(bytes);
    private_file::write(file, secret.as_bytes(), 0o600)?;
    Ok(secret)
}
