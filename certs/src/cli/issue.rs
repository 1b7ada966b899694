//! `certs issue`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use certs::authority::IssuingCa;
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::issue::IssuedCertificate;
use certs::serial::Serial;
use chrono::{DateTime, Utc};
use wire::ids::DeviceId;

use super::{CaDir, days};

#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("subject").required(true).args(["device_id", "service", "server"]),
    after_help = "With --csr alone the certificate and its chain go to standard output. Where the \
                  key is made here (--server, --service without --csr) --out is needed: it gets \
                  key.pem, cert.pem (with chain) and ca.pem."
)]
pub(crate) struct Issue {
    #[command(flatten)]
    dir: CaDir,
    /// A certificate signing request in PEM (P-256 or Ed25519).
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    csr: Option<PathBuf>,
    /// Issue for this device (`sbx_` and 32 hex digits); its key never leaves it, so --csr is needed.
    #[arg(long, value_name = "ID", requires = "csr")]
    device_id: Option<DeviceId>,
    /// Issue for a service that observes the fleet.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Issue for our own HTTPS and MQTT listeners.
    #[arg(long)]
    server: bool,
    /// A DNS name of the server; may be repeated.
    #[arg(long, value_name = "DNS", requires = "server")]
    name: Vec<String>,
    /// An address of the server; may be repeated.
    #[arg(long, value_name = "ADDRESS", requires = "server")]
    ip: Vec<IpAddr>,
    /// Days for which the certificate is valid.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// Write into this directory, which is made if it is not there; no file is written over.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Issue {
    pub(super) fn run(self, now: DateTime<Utc>) -> anyhow::Result<()> {
        let ca = IssuingCa::load(&self.dir.ca).context("the certificate authority is unusable")?;
        let valid_for = days(self.days);
        let serial = Serial::random()?;
        let made = match (&self.csr, self.server) {
            (None, false) => Some(KeyAndCsr::generate(KeyKind::P256, "")?),
            _ => None,
        };
        let csr = || {
            let pem = match (&made, &self.csr) {
                (Some(made), _) => made.csr_pem().to_owned(),
                (None, Some(file)) => {
                    std::fs::read_to_string(file).with_context(|| file.display().to_string())?
                }
                (None, None) => bail!("--csr is needed"),
            };
            Ok(Csr::parse_verified(&pem)?)
        };

        let (issued, key_pem) = if let Some(device) = self.device_id {
            let issued = ca.issue_device(&csr()?, device, now, valid_for, serial)?;
            (issued, None)
        } else if let Some(service) = &self.service {
            let issued = ca.issue_service(&csr()?, service, now, valid_for, serial)?;
            (issued, made.as_ref().map(KeyAndCsr::key_pem))
        } else {
            let server = ca.issue_server(&self.name, &self.ip, now, valid_for, serial)?;
            (server.certificate, Some(server.key_pem))
        };
        deliver(self.out.as_deref(), &ca, &issued, key_pem.as_deref())
    }
}

fn deliver(
    out: Option<&Path>,
    ca: &IssuingCa,
    issued: &IssuedCertificate,
    key_pem: Option<&str>,
) -> anyhow::Result<()> {
    let Some(dir) = out else {
        if key_pem.is_some() {
            bail!(
                "a private key was made for this certificate: name a directory for it with --out DIR"
            );
        }
        print!("{}", issued.chain_pem);
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| dir.display().to_string())?;
    if let Some(key_pem) = key_pem {
        write_new(&dir.join("key.pem"), key_pem, 0o600)?;
    }
    write_new(&dir.join("cert.pem"), &issued.chain_pem, 0o644)?;
    write_new(&dir.join("ca.pem"), ca.root_pem(), 0o644)?;
    println!(
        "Serial {}, valid until {}, in {}",
        issued.serial_hex,
        issued.not_after,
        dir.display()
    );
    Ok(())
}

fn write_new(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}
