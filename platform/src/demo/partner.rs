//! The partners of the demonstration and their secrets, made once and kept.

use std::net::SocketAddr;
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

/// Makes the secrets that are missing and puts the partners into the configuration; `bank` is where the simulated
/// bank will be, if there is one.
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
            // Without a simulated bank, whoever has the secret is the bank: it answers by callbacks alone.
            url: bank.map_or_else(String::new, |address| format!("http://{address}")),
            ca_file: PathBuf::new(),
            secret_files: vec![bank_file],
            secret_envs: Vec::new(),
        },
    );
    Ok(partners)
}

/// A port that nobody listens on now, for the simulated bank.
///
/// # Errors
/// There is none.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(probe.local_addr()?)
}

/// Where the simulated bank is to listen, if there is to be one.
pub(super) fn bank_address(config: &Config) -> Option<SocketAddr> {
    let url = &config.payout_partners.get(BANK)?.url;
    url.strip_prefix("http://")?.parse().ok()
}

/// Where the secret of a partner is.
///
/// # Errors
/// There is no such partner.
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
