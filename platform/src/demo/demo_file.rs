//! demo.json: everything that a client needs to connect to the demonstration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wire::{DeviceId, MerchantId, OutletId, TerminalId};

use super::partner::Partner;
use super::private_file;

const FILE: &str = "demo.json";

/// The content of demo.json; its keys are a contract. It has no `Debug`: it holds tokens and secrets.
#[derive(Serialize)]
pub(super) struct DemoFile {
    pub(super) api_url: String,
    pub(super) mqtt_host: String,
    pub(super) mqtt_port: u16,
    pub(super) metrics_url: String,
    pub(super) ca_file: PathBuf,
    pub(super) database_url: String,
    /// By role.
    pub(super) tokens: BTreeMap<String, String>,
    /// For the pages, by role.
    pub(super) logins: BTreeMap<String, Login>,
    pub(super) qris_partner: Partner,
    pub(super) payout_partner: Partner,
    pub(super) merchants: Vec<Merchant>,
    pub(super) devices: Vec<Device>,
}

/// A person of the demonstration.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) email: String,
    pub(super) password: String,
}

#[derive(Serialize)]
pub(super) struct Merchant {
    pub(super) merchant_id: MerchantId,
    pub(super) outlet_ids: Vec<OutletId>,
    pub(super) terminal_ids: Vec<TerminalId>,
}

#[derive(Serialize)]
pub(super) struct Device {
    pub(super) device_id: DeviceId,
    pub(super) serial_number: String,
    pub(super) terminal_id: TerminalId,
    pub(super) credentials_dir: PathBuf,
}

/// What a run reads from the file of an earlier one.
#[derive(Default, Deserialize)]
pub(super) struct Earlier {
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) logins: BTreeMap<String, Login>,
}

/// The path of demo.json.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

impl Earlier {
    /// The file of an earlier run; empty when there is none, or it cannot be parsed.
    pub(super) fn read(data_dir: &Path) -> Self {
        std::fs::read(path(data_dir))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }
}

impl DemoFile {
    /// Writes the file, readable for its owner only.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).context("demo.json")?;
        text.push(b'\n');
        private_file::write(&path(data_dir), &text, 0o600)
    }
}
