//! The database server, as a process that is killed, stopped and filled.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use embedded_postgres::{Launcher, Server, StartOptions};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

/// How long to wait between two looks at the database.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The size of the disk that is filled.
const DISK_BYTES: u64 = 1 << 30;
/// What fills it, below its mount point.
const FILLING: &str = "filling";

/// A small disk in memory, if this process may mount one. It is unmounted with this value.
pub(crate) struct Disk {
    dir: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Mounts one on this directory.
    pub(crate) fn mount(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let options = format!("size={DISK_BYTES},mode=0755");
        let mounted = geteuid().is_root()
            && mount(
                Some("tmpfs"),
                dir,
                Some("tmpfs"),
                MsFlags::empty(),
                Some(options.as_str()),
            )
            .is_ok();
        Ok(Self {
            dir: dir.to_owned(),
            mounted,
        })
    }

    /// Whether it can be filled.
    pub(crate) fn is_mounted(&self) -> bool {
        self.mounted
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.mounted, "the disk is not ours");
        let mut file = fs::File::create(self.dir.join(FILLING))?;
        let chunk = vec![1; 1 << 20];
        // It ends with the error that there is no space.
        while file.write_all(&chunk).is_ok() {}
        Ok(())
    }

    /// Frees it again.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.dir.join(FILLING))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Files may still be open; it goes with the last of them.
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

/// A server on its data directory.
pub(crate) struct Postgres {
    data_dir: PathBuf,
    server: Option<Server>,
    options: PgConnectOptions,
}

impl Postgres {
    /// Starts the server of this data directory.
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let server = Launcher::start(data_dir, StartOptions::from_env()).await?;
        let options: PgConnectOptions = server.database_url().parse()?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            options: options.disable_statement_logging(),
            server: Some(server),
        })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> anyhow::Result<PathBuf> {
        let directory = self.options.get_socket().context("it has no socket")?;
        Ok(directory.join(format!(".s.PGSQL.{}", self.options.get_port())))
    }

    /// The URL of its database, by another directory of its socket.
    pub(crate) fn url_by(&self, directory: &Path) -> String {
        let user = self.options.get_username();
        let database = self.options.get_database().unwrap_or(user);
        format!(
            "postgres://{user}@localhost/{database}?host={}",
            directory.display()
        )
    }

    /// A connection that passes no proxy.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.options.connect().await?)
    }

    fn postmaster(&self) -> anyhow::Result<Pid> {
        let server = self.server.as_ref().context("it has ended")?;
        Ok(Pid::from_raw(i32::try_from(server.pid())?))
    }

    /// Ends the postmaster with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        kill(self.postmaster()?, Signal::SIGKILL)?;
        if let Some(server) = self.server.take() {
            server.exited().await;
        }
        Ok(())
    }

    /// Starts it again, unless it runs.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        if self.server.is_none() {
            *self = Self::start(&self.data_dir).await?;
        }
        Ok(())
    }

    /// Sends the postmaster and all backends a signal.
    pub(crate) fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        let postmaster = self.postmaster()?;
        for pid in backends(postmaster)?.into_iter().chain([postmaster]) {
            // A backend may have ended meanwhile.
            let _ = kill(pid, signal);
        }
        Ok(())
    }

    /// Ends one backend that serves a client with SIGKILL; which one, the number decides.
    pub(crate) fn kill_backend(&self, number: usize) -> anyhow::Result<()> {
        let all = backends(self.postmaster()?)?;
        let mut clients: Vec<Pid> = all.into_iter().filter(|pid| serves_client(*pid)).collect();
        clients.sort_unstable_by_key(|pid| pid.as_raw());
        let one = clients.get(number % clients.len().max(1));
        Ok(kill(*one.context("there is no backend")?, Signal::SIGKILL)?)
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        match self.server.take() {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}

fn backends(postmaster: Pid) -> anyhow::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{postmaster}/task"))? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        let pids = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        found.extend(pids.map(Pid::from_raw));
    }
    Ok(found)
}

/// Whether its title is that of a backend on a local connection.
fn serves_client(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|title| String::from_utf8_lossy(&title).contains("[local]"))
}
