//! `platform serve` as a process of its own, beside another process on the same database and of the same CA.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::server::{executable, peak_memory_kib};

/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct NodeParts {
    /// Its own directory.
    pub dir: PathBuf,
    /// `node.name`.
    pub name: String,
    /// `node.lease_s`.
    pub lease_s: u32,
    /// The common database.
    pub database_url: String,
    /// The directory of the common CA.
    pub pki_dir: PathBuf,
    /// The common key of announcements.
    pub key_file: PathBuf,
    /// Where it serves the API and MQTT; port 0 is any.
    pub listen: [SocketAddr; 2],
    /// An acquirer of the dialect `hmac`, and the file with its secret.
    pub acquirer: (String, PathBuf),
    /// Further tables of its configuration, in TOML.
    pub more: String,
    /// What its log is appended to, instead of standard error.
    pub log_file: Option<PathBuf>,
}

/// Any two free ports.
#[must_use]
pub fn anywhere() -> [SocketAddr; 2] {
    [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 2]
}

impl NodeParts {
    /// The same where this process serves, which has to end first.
    #[must_use]
    pub fn in_place_of(&self, process: &NodeProcess) -> Self {
        Self {
            listen: [process.http, process.mqtt],
            ..self.clone()
        }
    }

    fn config(&self) -> String {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        let mut text = format!("data_dir = {}\n", quoted(&self.dir));
        let ((acquirer, secret), [http, mqtt]) = (&self.acquirer, self.listen);
        // Here a whole fleet and its acquirer share one address.
        let _ = write!(
            text,
            "[node]\nname = {:?}\nlease_s = {}\nunready_ms = 100\n\
             [database]\nurl = {:?}\nconnections_max = 10\n\
             [pki]\ndir = {}\n\
             [announcements]\nkey_files = [{}]\n\
             [http]\nlisten = \"{http}\"\nrate_per_address_per_s = 0\n\
             [mqtt]\nlisten = \"{mqtt}\"\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\
             [qris_partners.{acquirer}]\nprofile = \"hmac\"\nsecret_files = [{}]\n\
             [payments]\nqr_partner = {acquirer:?}\n\
             [log]\nfilter = \"warn\"\n",
            self.name,
            self.lease_s,
            self.database_url,
            quoted(&self.pki_dir),
            quoted(&self.key_file),
            quoted(secret),
        );
        text.push_str(&self.more);
        text
    }

    fn command(&self) -> anyhow::Result<Command> {
        std::fs::create_dir_all(&self.dir)?;
        let file = self.dir.join("config.toml");
        std::fs::write(&file, self.config())?;
        let mut command = Command::new(executable()?);
        command
            .args(["serve", "--config"])
            .arg(&file)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(path) = &self.log_file {
            let log = File::options().create(true).append(true).open(path)?;
            command.stderr(log);
        }
        Ok(command)
    }

    /// Starts it; it is ready when this returns.
    ///
    /// # Errors
    /// It is not built, or was not ready in time.
    pub async fn start(&self) -> anyhow::Result<NodeProcess> {
        let mut child = self.command()?.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(READY_WITHIN, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(addresses) = line.strip_prefix("ready: ") {
                    return addresses_of(addresses);
                }
            }
            bail!("{} ended before it was ready", self.name)
        });
        let [http, mqtt, metrics] = ready.await.context("it was not ready in time")??;
        Ok(NodeProcess {
            child,
            http,
            mqtt,
            metrics,
        })
    }

    /// Starts it when it is expected to be refused: what it wrote to standard error.
    ///
    /// # Errors
    /// It is not built, or was not refused in time.
    pub async fn refused(&self) -> anyhow::Result<String> {
        let ended = self.command()?.output();
        let output = tokio::time::timeout(READY_WITHIN, ended).await??;
        if output.status.success() {
            bail!("it was not refused");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The addresses in the line that says that it is ready.
fn addresses_of(line: &str) -> anyhow::Result<[SocketAddr; 3]> {
    let found: Vec<SocketAddr> = line
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    let found: Option<[SocketAddr; 3]> = found.try_into().ok();
    found.with_context(|| format!("no three addresses in {line:?}"))
}

/// A running process.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    /// The address of the API.
    pub http: SocketAddr,
    /// The address for MQTT.
    pub mqtt: SocketAddr,
    /// The address of health and metrics.
    pub metrics: SocketAddr,
}

impl NodeProcess {
    /// `https://…`, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.http.port())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Its peak resident memory, KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        peak_memory_kib(self.child.id().context("it has ended")?)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops it with SIGTERM.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        Ok(self.child.wait().await?)
    }
}
