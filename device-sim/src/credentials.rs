//! A box's credentials directory: its identity, certificates and configuration on disk.
//!
//! `key.pem` (generated here, never sent), `cert.pem` (leaf and chain), `ca.pem` (the trusted CA) and `device.json`
//! (the rest). `device.json` is written last, so its presence means that the box is provisioned.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use certs::durable_file;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::{BindingId, DeviceId, Encoding, TerminalId, VerifyingKeys};

use crate::api::Api;

/// The private key (PKCS#8 PEM).
pub const KEY_FILE: &str = "key.pem";
const CERT_FILE: &str = "cert.pem";
pub(crate) const CA_FILE: &str = "ca.pem";
const DEVICE_FILE: &str = "device.json";

/// The content of `device.json`. It has no `Debug`: it holds a token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Device {
    /// The box's id.
    pub device_id: DeviceId,
    /// The serial number printed on it.
    pub serial_number: String,
    /// The firmware version that it reports.
    pub firmware_version: String,
    /// The token for the HTTPS API.
    pub device_token: String,
    /// The URL of the HTTPS API.
    pub api_url: String,
    /// The broker's host.
    pub mqtt_host: String,
    /// The broker's port.
    pub mqtt_port: u16,
    /// The platform's keys, which verify its messages.
    pub announcement_keys: VerifyingKeys,
    /// The binding to a terminal.
    pub binding_id: Option<BindingId>,
    /// The terminal, if it was given at provisioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<TerminalId>,
    /// The payload encoding.
    pub payload_encoding: Encoding,
    /// The version of the configuration.
    #[serde(default)]
    pub config_version: i64,
    /// The configuration.
    pub config: Value,
    /// When to renew the credentials; absent in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_after: Option<DateTime<Utc>>,
}

/// A provisioned box on disk.
#[derive(Clone)]
pub struct Credentials {
    dir: PathBuf,
    /// The content of `device.json`.
    pub device: Device,
}

/// Renewed credentials for the key that a box has. It has no `Debug`: it holds a token.
pub struct Renewed {
    /// Leaf and chain.
    pub chain_pem: String,
    /// The token for the HTTPS API.
    pub device_token: String,
    /// The platform's current keys.
    pub announcement_keys: VerifyingKeys,
    /// When the certificate expires.
    pub certificate_expires_at: DateTime<Utc>,
    /// When to renew them again.
    pub renew_after: DateTime<Utc>,
}

impl Credentials {
    /// Whether `dir` holds a provisioned box.
    pub fn exist(dir: &Path) -> bool {
        dir.join(DEVICE_FILE).is_file()
    }

    /// Reads a provisioned box.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(DEVICE_FILE);
        let text = fs::read(&path).with_context(|| {
            format!(
                "{} cannot be read; is this box provisioned?",
                path.display()
            )
        })?;
        let device = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Self {
            dir: dir.to_owned(),
            device,
        })
    }

    /// Every provisioned box in the subdirectories of `dir`, sorted by name.
    pub fn load_all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let mut dirs = Self::boxes_in(dir, Self::exist)?;
        dirs.sort();
        dirs.iter().map(|dir| Self::load(dir)).collect()
    }

    /// The subdirectories of `dir` that are boxes by `exist`.
    pub(crate) fn boxes_in(
        dir: &Path,
        exist: impl Fn(&Path) -> bool,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
        let mut dirs = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        dirs.retain(|dir| exist(dir));
        Ok(dirs)
    }

    /// Writes the credentials of a newly activated box.
    pub fn create(
        dir: &Path,
        device: Device,
        chain_pem: &str,
        ca_pem: &str,
    ) -> anyhow::Result<Self> {
        write(dir, CERT_FILE, chain_pem.as_bytes(), 0o644)?;
        write(dir, CA_FILE, ca_pem.as_bytes(), 0o644)?;
        let credentials = Self {
            dir: dir.to_owned(),
            device,
        };
        credentials.save()?;
        Ok(credentials)
    }

    /// Writes `device.json`, by atomic replacement.
    pub fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&self.device)?;
        write(&self.dir, DEVICE_FILE, &text, 0o600)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stores renewed credentials for the same key. The certificate is written first: the box works with it and the
    /// old token, and then renews again.
    pub fn renew(&mut self, renewed: Renewed) -> anyhow::Result<()> {
        write(&self.dir, CERT_FILE, renewed.chain_pem.as_bytes(), 0o644)?;
        self.device.device_token = renewed.device_token;
        self.device.announcement_keys = renewed.announcement_keys;
        self.device.renew_after = Some(renewed.renew_after);
        self.save()
    }

    /// The private key (PKCS#8 PEM).
    pub fn key_pem(&self) -> anyhow::Result<String> {
        self.read(KEY_FILE)
    }

    /// A client of the HTTPS API that presents the box's certificate, for when the token is no longer accepted.
    pub fn api_by_certificate(&self) -> anyhow::Result<Api> {
        Api::with_tls(&self.device.api_url, &*self.tls()?)
    }

    /// A client of the HTTPS API.
    pub fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.device.api_url, &self.read(CA_FILE)?)
    }

    /// TLS with this box's certificate, trusting its CA alone.
    pub fn tls(&self) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let roots = certs::tls::roots_from_pem(&self.read(CA_FILE)?)?;
        let chain = certs::tls::chain_from_pem(&self.read(CERT_FILE)?)?;
        let key = certs::tls::key_from_pem(&self.read(KEY_FILE)?)?;
        Ok(certs::tls::client_config(
            roots,
            Some((chain, key)),
            Vec::new(),
        )?)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// Creates a directory with access for its owner only.
pub fn make_dir(dir: &Path) -> anyhow::Result<()> {
    durable_file::make_private_dir(dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// Writes a file of a box, as [`durable_file`] does.
pub fn write(dir: &Path, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = dir.join(name);
    durable_file::replace(&path, content, mode)
        .with_context(|| format!("cannot write {}", path.display()))
}
