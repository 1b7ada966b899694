//! A box's credentials directory: who it is and what it was told, on its own disk.
//!
//! `key.pem` (made here, never sent), `cert.pem` (leaf and chain), `ca.pem` (whom it trusts) and `device.json` (the
//! rest). `device.json` is written last, so its presence means that the box is provisioned.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::{BindingId, DeviceId, Encoding, TerminalId, VerifyingKeys};

use crate::api::Api;
use crate::link::Transport;
use crate::provision::Renewed;
use crate::soundbox::Identity;
use crate::soundbox::identity::{Vitals, WallClock};
use crate::soundbox::settings::Settings;

/// The private key (PKCS#8 PEM).
pub const KEY_FILE: &str = "key.pem";
const CERT_FILE: &str = "cert.pem";
pub(crate) const CA_FILE: &str = "ca.pem";
const DEVICE_FILE: &str = "device.json";

/// The content of `device.json`. It has no `Debug`: it holds a token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Device {
    /// The box.
    pub device_id: DeviceId,
    /// What is printed on it.
    pub serial_number: String,
    /// What it says it runs.
    pub firmware_version: String,
    /// For the HTTPS API.
    pub device_token: String,
    /// Where the HTTPS API is.
    pub api_url: String,
    /// Where the broker is.
    pub mqtt_host: String,
    /// Its port.
    pub mqtt_port: u16,
    /// The keys of the platform.
    pub announcement_keys: VerifyingKeys,
    /// Where the box belongs.
    pub binding_id: Option<BindingId>,
    /// The terminal, when whoever provisioned the box knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<TerminalId>,
    /// How it speaks.
    pub payload_encoding: Encoding,
    /// The version of the configuration.
    #[serde(default)]
    pub config_version: i64,
    /// The configuration.
    pub config: Value,
    /// From then on the credentials are to be renewed; absent in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_after: Option<DateTime<Utc>>,
}

/// A provisioned box on the disk.
#[derive(Clone)]
pub struct Credentials {
    dir: PathBuf,
    /// Everything that is not a certificate.
    pub device: Device,
}

impl Credentials {
    /// Whether `dir` holds a provisioned box.
    pub fn exist(dir: &Path) -> bool {
        dir.join(DEVICE_FILE).is_file()
    }

    /// Reads a provisioned box.
    ///
    /// # Errors
    /// A file that is missing or not what it should be.
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

    /// Every provisioned box in the subdirectories of `dir`, by name.
    ///
    /// # Errors
    /// A directory or a box that cannot be read.
    pub fn load_all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
        let mut dirs = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        dirs.retain(|dir| Self::exist(dir));
        dirs.sort();
        dirs.iter().map(|dir| Self::load(dir)).collect()
    }

    /// Writes a box that has just been activated.
    ///
    /// # Errors
    /// A disk that does not take it.
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
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&self.device)?;
        write(&self.dir, DEVICE_FILE, &text, 0o600)
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Who the box is.
    pub fn identity(&self) -> Identity {
        Identity {
            device_id: self.device.device_id,
            keys: self.device.announcement_keys.clone(),
            binding_id: self.device.binding_id,
            config_version: self.device.config_version,
            settings: self.settings(),
            firmware_version: self.device.firmware_version.clone(),
            transport: Transport::default().as_str(),
            vitals: Vitals::default(),
            wall_clock: WallClock::default(),
        }
    }

    /// What the box is set to. A configuration that it was activated with and does not know leaves it as it was made.
    pub fn settings(&self) -> Settings {
        Settings::read(&self.device.config).unwrap_or_else(|reason| {
            tracing::warn!(reason, "the stored configuration is not used");
            Settings::default()
        })
    }

    /// Takes renewed credentials for the same key. The certificate is written first: with it and the old token the
    /// box is as good as before, and asks again.
    ///
    /// # Errors
    /// A disk that does not take them.
    pub fn renew(&mut self, renewed: Renewed) -> anyhow::Result<()> {
        write(&self.dir, CERT_FILE, renewed.chain_pem.as_bytes(), 0o644)?;
        self.device.device_token = renewed.device_token;
        self.device.announcement_keys = renewed.announcement_keys;
        self.device.renew_after = Some(renewed.renew_after);
        self.save()
    }

    /// Who this box is, from the private key on its disk.
    ///
    /// # Errors
    /// A key that cannot be read.
    pub fn key_pem(&self) -> anyhow::Result<String> {
        self.read(KEY_FILE)
    }

    /// The HTTPS API as this box sees it, with its certificate shown: for a box whose token is no longer taken.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    pub fn api_by_certificate(&self) -> anyhow::Result<Api> {
        Api::with_tls(&self.device.api_url, &*self.tls()?)
    }

    /// The HTTPS API as this box sees it.
    ///
    /// # Errors
    /// A CA that cannot be read.
    pub fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.device.api_url, &self.read(CA_FILE)?)
    }

    /// TLS with this box's certificate, trusting its CA alone.
    ///
    /// # Errors
    /// A key or certificate that cannot be used.
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

/// Makes a directory that only its owner may enter.
///
/// # Errors
/// A directory that cannot be made.
pub fn make_dir(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Writes a file so that it is either whole on the disk or not there: under another name first, flushed, renamed.
///
/// # Errors
/// A disk that does not take it.
pub fn write(dir: &Path, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.tmp"));
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}
