//! The platform as a process of its own, for measurements: the executable beside this one, with an embedded Postgres.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use service::clock::Clock;
use tokio::process::{Child, Command};

use crate::acquirer::Acquirer;
use crate::api::Api;
use crate::node_process::{self, NodeParts};

/// How long the first start, with a new database and a new CA, may take.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// `demo.json`, as far as it is used here.
#[derive(Deserialize)]
pub struct Demo {
    /// `https://…`
    pub api_url: String,
    /// The address for MQTT.
    pub mqtt_host: String,
    /// The address for MQTT.
    pub mqtt_port: u16,
    /// The root certificate of both.
    pub ca_file: PathBuf,
    /// Its database.
    pub database_url: String,
    /// By role.
    pub tokens: BTreeMap<String, String>,
    /// Of people who log in to the pages, by role.
    pub logins: BTreeMap<String, Login>,
    /// Its configured acquirer.
    pub qris_partner: Partner,
    /// The demonstration's merchants.
    pub merchants: Vec<Merchant>,
}

/// A partner, with what it signs with.
#[derive(Deserialize)]
pub struct Partner {
    /// `X-Partner-Id`.
    pub id: String,
    /// What it signs with.
    pub secret: String,
}

/// A person of the demonstration.
#[derive(Deserialize)]
pub struct Login {
    /// Who they are.
    pub email: String,
    /// What they prove it with.
    pub password: String,
}

/// A merchant of the demonstration.
#[derive(Deserialize)]
pub struct Merchant {
    /// Who they are.
    pub merchant_id: String,
    /// Their outlets.
    pub outlet_ids: Vec<String>,
}

/// Where it listens; port 0 is any.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    http: SocketAddr,
    mqtt: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            http: any,
            mqtt: any,
        }
    }
}

/// A running platform.
pub struct Server {
    child: Child,
    /// What it wrote to `demo.json`.
    pub demo: Demo,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The root of its CA.
    pub root_pem: String,
}

impl Server {
    /// Starts it with no boxes and no acquirer, its data in `dir`.
    ///
    /// # Errors
    /// It is not built, or was not ready in time.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_executable(&executable()?, dir, &[]).await
    }

    /// Starts another build of it in the same way, with further variables of its environment.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_executable(
        executable: &Path,
        dir: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::launch(executable, dir, Addresses::default(), variables).await
    }

    /// Starts it where an earlier one with this data listened, with further variables of its environment.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_again(
        dir: &Path,
        at: Addresses,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::launch(&executable()?, dir, at, variables).await
    }

    async fn launch(
        executable: &Path,
        dir: &Path,
        at: Addresses,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let data_dir = dir.join("data");
        let file = data_dir.join("demo.json");
        // An earlier run may have left one.
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut child = Command::new(executable)
            .args([
                "demo",
                "--boxes",
                "0",
                "--pay-every",
                "0",
                "--json",
                "--data-dir",
            ])
            .arg(&data_dir)
            .env("SOUNDBOX__HTTP__LISTEN", at.http.to_string())
            .env("SOUNDBOX__MQTT__LISTEN", at.mqtt.to_string())
            .env("SOUNDBOX__METRICS__LISTEN", "127.0.0.1:0")
            // Here a whole fleet and its acquirer share one address.
            .env("SOUNDBOX__HTTP__RATE_PER_ADDRESS_PER_S", "0")
            .env_remove("DATABASE_URL")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        let demo: Demo = tokio::time::timeout(READY_WITHIN, async {
            loop {
                if let Some(demo) = std::fs::read(&file)
                    .ok()
                    .and_then(|text| serde_json::from_slice(&text).ok())
                {
                    return Ok(demo);
                }
                if let Some(status) = child.try_wait()? {
                    bail!("the platform ended: {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .context("the platform was not ready in time")??;
        let root_pem = std::fs::read_to_string(&demo.ca_file)?;
        Ok(Self {
            child,
            demo,
            data_dir,
            root_pem,
        })
    }

    /// A client with this role's token; answers are not checked against the document, because that would be measured too.
    pub fn api(&self, role: &str) -> anyhow::Result<Api> {
        let token = self
            .demo
            .tokens
            .get(role)
            .with_context(|| format!("no token for {role}"))?;
        Ok(Api::new(&self.demo.api_url, &self.root_pem)
            .unchecked()
            .with_token(token))
    }

    /// The first outlet of the demonstration's first merchant.
    pub fn outlet(&self) -> anyhow::Result<&str> {
        self.demo
            .merchants
            .first()
            .and_then(|merchant| merchant.outlet_ids.first())
            .map(String::as_str)
            .context("the demo has no outlet")
    }

    /// A client without a token, whose answers are not checked either.
    pub fn anonymous(&self) -> Api {
        Api::new(&self.demo.api_url, &self.root_pem).unchecked()
    }

    /// Its configured acquirer.
    pub fn acquirer(&self) -> Acquirer {
        let partner = &self.demo.qris_partner;
        let secret = partner.secret.clone();
        Acquirer::new(self.anonymous(), Clock::system(), &partner.id, secret)
    }

    /// The address for MQTT.
    pub async fn mqtt(&self) -> anyhow::Result<SocketAddr> {
        let host = (self.demo.mqtt_host.as_str(), self.demo.mqtt_port);
        tokio::net::lookup_host(host)
            .await?
            .find(SocketAddr::is_ipv4)
            .context("the MQTT host has no address")
    }

    /// What starts another process beside this one, of the same CA and on the same database.
    pub fn node_parts(&self, name: &str, lease_s: u32) -> NodeParts {
        let secret = self
            .data_dir
            .join("secrets")
            .join(&self.demo.qris_partner.id);
        NodeParts {
            dir: self.data_dir.join("nodes").join(name),
            name: name.to_owned(),
            lease_s,
            database_url: self.demo.database_url.clone(),
            pki_dir: self.data_dir.join("pki"),
            key_file: self.data_dir.join("keys").join("announcement.pem"),
            listen: node_process::anywhere(),
            acquirer: (self.demo.qris_partner.id.clone(), secret),
            more: String::new(),
            log_file: None,
        }
    }

    /// Where it listens.
    pub async fn addresses(&self) -> anyhow::Result<Addresses> {
        let url: reqwest::Url = self.demo.api_url.parse()?;
        let http = url.socket_addrs(|| None)?;
        Ok(Addresses {
            http: http
                .into_iter()
                .find(SocketAddr::is_ipv4)
                .context("the API has no address")?,
            mqtt: self.mqtt().await?,
        })
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Its peak resident memory, KiB.
    pub fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        peak_memory_kib(self.pid()?)
    }

    /// The output of `platform ledger verify`.
    ///
    /// # Errors
    /// The ledger has findings.
    pub async fn verify_ledger(&self) -> anyhow::Result<String> {
        verify("ledger", &self.demo.database_url, &self.data_dir).await
    }

    /// The output of `platform audit verify`.
    ///
    /// # Errors
    /// A row of the audit log was changed, or is missing.
    pub async fn verify_audit(&self) -> anyhow::Result<String> {
        verify("audit", &self.demo.database_url, &self.data_dir).await
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Ends its embedded Postgres (the postmaster) with SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        let file = self.data_dir.join("postgres/cluster/postmaster.pid");
        let text = std::fs::read_to_string(&file)?;
        let pid = text.lines().next().context("no process id")?.trim();
        Ok(kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL)?)
    }

    /// Stops it with SIGTERM.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    /// The same, when what it made is still used.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        self.child.wait().await?;
        Ok(())
    }
}

/// The output of `platform ledger verify` or `platform audit verify`.
///
/// # Errors
/// There are findings.
pub async fn verify(what: &str, database_url: &str, data_dir: &Path) -> anyhow::Result<String> {
    let output = Command::new(executable()?)
        .args([what, "verify"])
        .env("DATABASE_URL", database_url)
        .env("SOUNDBOX__DATA_DIR", data_dir)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text.trim_end().replace('\n', "; "))
}

/// The peak resident memory (VmHWM) of a process, KiB.
pub(crate) fn peak_memory_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The platform's executable, in this executable's directory or, for tests, its parent.
pub fn executable() -> anyhow::Result<PathBuf> {
    let mut executable = std::env::current_exe()?.with_file_name("platform");
    if !executable.exists()
        && let Some(above) = executable.ancestors().nth(2)
    {
        executable = above.join("platform");
    }
    if !executable.exists() {
        bail!(
            "{} is not there: cargo build --release -p platform -p device-sim",
            executable.display()
        );
    }
    Ok(executable)
}
