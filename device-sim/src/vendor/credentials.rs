//! What a box of another maker needs to join, on disk: `vendor.json` (its login and settings) and `ca.pem`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wire::{DeviceId, TerminalId};

use super::firmware::{Model, Settings};
use crate::credentials::{self, CA_FILE};

const FILE: &str = "vendor.json";

/// The content of `vendor.json`. It has no `Debug`: it holds a password.
#[derive(Clone, Serialize, Deserialize)]
pub struct VendorDevice {
    /// The box's id on the platform, which the box itself does not know: all zeros where it asked for its settings and
    /// nobody said.
    pub device_id: DeviceId,
    /// Which box it is.
    pub profile: Model,
    /// The broker's host.
    pub mqtt_host: String,
    /// The broker's port.
    pub mqtt_port: u16,
    /// Whether it speaks TLS there.
    pub tls: bool,
    /// What is typed into it.
    pub settings: Settings,
    /// The terminal, if it was bound when it was provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<TerminalId>,
}

/// A box of another maker on disk.
#[derive(Clone)]
pub struct VendorCredentials {
    dir: PathBuf,
    /// The content of `vendor.json`.
    pub device: VendorDevice,
}

impl VendorCredentials {
    /// Whether `dir` holds such a box.
    pub fn exist(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    /// Reads such a box.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let device = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Self {
            dir: dir.to_owned(),
            device,
        })
    }

    /// Writes the credentials of a newly registered box.
    pub fn create(dir: &Path, device: VendorDevice, ca_pem: &str) -> anyhow::Result<Self> {
        credentials::make_dir(dir)?;
        credentials::write(dir, CA_FILE, ca_pem.as_bytes(), 0o644)?;
        let text = serde_json::to_vec_pretty(&device)?;
        credentials::write(dir, FILE, &text, 0o600)?;
        Ok(Self {
            dir: dir.to_owned(),
            device,
        })
    }

    /// TLS without a certificate of its own, trusting the platform's CA alone; `None` where the box speaks plain MQTT.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<rustls::ClientConfig>>> {
        if !self.device.tls {
            return Ok(None);
        }
        let path = self.dir.join(CA_FILE);
        let pem = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let roots = certs::tls::roots_from_pem(&pem)?;
        Ok(Some(certs::tls::client_config(roots, None, Vec::new())?))
    }
}
