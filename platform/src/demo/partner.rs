//! The partners of the demonstration and their secrets, which are generated once and kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::rand;
use platform::config::{Config, PayoutPartner, QrisPartner, QrisProfile};
use serde::Serialize;

use super::private_file;

const ACQUIRER: &str = "demo-acquirer";
const BANK: &str = "demo-bank";

/// A partner in demo.json. It has no `Debug`: it holds the secret.
#[derive(Serialize)]
pub(super) struct Partner {
    /// `X-Partner-Id`.
    pub(super) id: &'static str,
    /// The secret that signs its callbacks.
    pub(super) secret: String,
}

/// Both partners.
pub(super) struct Partners {
    /// Calls `/integrations/qris/callback`.
    pub(super) qris: Partner,
    /// Calls `/integrations/bank/payout-callback`.
    pub(super) payout: Partner,
}

/// Generates missing secrets and adds the partners to the configuration; `bank` is the address of the simulated bank,
/// if there is one.
///
/// # Errors
/// A data directory that cannot be written.
pub(super) fn configure(config: &mut Config, bank: Option<SocketAddr>) -> anyhow::Result<Partners> {
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
            // Without a simulated bank, a client with the secret acts as the bank: it only sends callbacks.
            url: bank.map_or_else(String::new, |address| format!("http://{address}")),
            ca_file: PathBuf::new(),
            secret_files: vec![bank_file],
            secret_envs: Vec::new(),
        },
    );
    Ok(partners)
}

/// A free port for the simulated bank.
///
/// # Errors
/// No free port.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(probe.local_addr()?)
}

/// The address of the simulated bank, if there is one.
pub(super) fn bank_address(config: &Config) -> Option<SocketAddr> {
    let url = &config.payout_partners.get(BANK)?.url;
    url.strip_prefix("http://")?.parse().ok()
}

/// The file with a partner's secret.
///
/// # Errors
/// An unknown partner.
pub(super) fn secret_file(config: &Config, id: &str) -> anyhow::Result<PathBuf> {
    let qris = config
        .qris_partners
        .get(id)
        .map(|partner| &partner.secret_files);
    let payout = config
        .payout_partners
        .get(id)
        .map(|partner| &partner.secret_files);
    qris.or(payout)
        .and_then(|files| files.first().cloned())
        .with_context(|| format!("there is no partner {id}"))
}

/// The secret in `file`; a new one if the file is missing.
fn secret(file: &Path) -> anyhow::Result<String> {
    if file.exists() {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        return Ok(text.trim_end().to_owned());
    }
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).context("the system returns no random bytes")?;
    let secret = hex::encode(bytes);
    private_file::write(file, secret.as_bytes(), 0o600)?;
    Ok(secret)
}
