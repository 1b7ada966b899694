//! The platform under measurement: the executable beside this one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tests::api::Api;
use tokio::process::{Child, Command};

/// How long the first start, with a new database and a new CA, may take.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What `demo.json` says, as far as it is used here.
#[derive(Deserialize)]
pub(crate) struct Demo {
    pub(crate) api_url: String,
    pub(crate) mqtt_host: String,
    pub(crate) mqtt_port: u16,
    pub(crate) ca_file: PathBuf,
    pub(crate) database_url: String,
    pub(crate) tokens: std::collections::BTreeMap<String, String>,
    pub(crate) qris_partner: Partner,
    pub(crate) merchants: Vec<Merchant>,
}

#[derive(Deserialize)]
pub(crate) struct Partner {
    pub(crate) id: String,
    pub(crate) secret: String,
}

#[derive(Deserialize)]
pub(crate) struct Merchant {
    pub(crate) outlet_ids: Vec<String>,
}

/// A running platform.
pub(crate) struct Server {
    child: Child,
    pub(crate) demo: Demo,
    pub(crate) data_dir: PathBuf,
    pub(crate) root_pem: String,
}

impl Server {
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let executable = std::env::current_exe()?.with_file_name("platform");
        if !executable.exists() {
            bail!(
                "{} is not there: cargo build --release -p platform -p device-sim",
                executable.display()
            );
        }
        let data_dir = dir.join("data");
        let child = Command::new(&executable)
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
            .env("SOUNDBOX__HTTP__LISTEN", "127.0.0.1:0")
            .env("SOUNDBOX__MQTT__LISTEN", "127.0.0.1:0")
            .env("SOUNDBOX__METRICS__LISTEN", "127.0.0.1:0")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        let file = data_dir.join("demo.json");
        let demo: Demo = tokio::time::timeout(READY_WITHIN, async {
            loop {
                if let Some(demo) = std::fs::read(&file)
                    .ok()
                    .and_then(|text| serde_json::from_slice(&text).ok())
                {
                    return demo;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .context("the platform was not ready in time")?;
        let root_pem = std::fs::read_to_string(&demo.ca_file)?;
        Ok(Self {
            child,
            demo,
            data_dir,
            root_pem,
        })
    }

    /// A client with this role's token.
    pub(crate) fn api(&self, role: &str) -> anyhow::Result<Api> {
        let token = self
            .demo
            .tokens
            .get(role)
            .with_context(|| format!("no token for {role}"))?;
        Ok(Api::new(&self.demo.api_url, &self.root_pem).with_token(token))
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        self.child.wait().await?;
        Ok(())
    }
}
