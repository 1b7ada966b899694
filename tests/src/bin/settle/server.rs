//! The platform under measurement: the executable beside this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tests::api::Api;
use tokio::process::{Child, Command};

use super::READY_WITHIN;

/// What `demo.json` says, as far as it is used here.
#[derive(Deserialize)]
pub(crate) struct Demo {
    api_url: String,
    ca_file: PathBuf,
    pub(crate) database_url: String,
    tokens: BTreeMap<String, String>,
}

pub(crate) struct Server {
    child: Child,
    pub(crate) demo: Demo,
    executable: PathBuf,
    root_pem: String,
}

impl Server {
    /// Starts it on this directory, perhaps on what an earlier one left.
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let executable = std::env::current_exe()?.with_file_name("platform");
        ensure!(
            executable.exists(),
            "{} is not there: cargo build --release -p platform",
            executable.display()
        );
        let data_dir = dir.join("data");
        let file = data_dir.join("demo.json");
        let written = |file: &Path| -> Option<SystemTime> { file.metadata().ok()?.modified().ok() };
        let before = written(&file);
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
        let demo: Demo = tokio::time::timeout(READY_WITHIN, async {
            loop {
                if written(&file) != before
                    && let Some(demo) = std::fs::read(&file)
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
            executable,
            root_pem,
        })
    }

    /// A client that may settle.
    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        let token = self.demo.tokens.get("finance").context("no token")?;
        Ok(Api::new(&self.demo.api_url, &self.root_pem).with_token(token))
    }

    /// The most memory that it ever had, as Linux counts it.
    pub(crate) fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        let pid = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The last line of `platform ledger verify` on its database.
    pub(crate) async fn verify(&self) -> anyhow::Result<String> {
        let data_dir = self.demo.ca_file.parent().context("no data directory")?;
        let output = Command::new(&self.executable)
            .args(["ledger", "verify"])
            .env("DATABASE_URL", &self.demo.database_url)
            .env("SOUNDBOX__DATA_DIR", data_dir)
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text.trim_end().replace('\n', "; "))
    }

    /// Ends it where it stands.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        self.child.wait().await?;
        Ok(())
    }
}
