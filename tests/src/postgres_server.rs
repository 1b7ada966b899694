//! A Postgres server of a story's own: a primary, a replica of it, or what is restored from its backup. It listens on a port
//! of this machine without passwords, can be killed and promoted, and ends with its value.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use embedded_postgres::Search;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The role and the database of the platform.
pub const NAME: &str = "soundbox";
/// How long a start may take, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a replica may take until it takes writes.
const PROMOTED_WITHIN: Duration = Duration::from_secs(60);
/// How long an orderly stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Whether commits survive a power cut, as in production, or the server is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// As in production.
    Durable,
    /// Without fsync.
    ThrownAway,
}

/// The programs of Postgres, and the account that runs them: a server refuses to run as root.
#[derive(Debug, Clone)]
pub struct Programs {
    bin: PathBuf,
    account: Option<(u32, u32)>,
}

impl Programs {
    /// The newest that are installed.
    ///
    /// # Errors
    /// There are none; as root, no account `postgres` or `nobody`.
    pub fn find() -> anyhow::Result<Self> {
        let account = if geteuid().is_root() {
            let user = ["postgres", "nobody"]
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .context("no account for Postgres")?;
            Some((user.uid.as_raw(), user.gid.as_raw()))
        } else {
            None
        };
        Ok(Self {
            bin: Search::from_env().newest()?,
            account,
        })
    }

    /// A directory of the account's. Those above it become passable, as far as they are below `dir`'s parent.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(&self, path: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        if let Some((uid, gid)) = self.account {
            chown(path, Some(uid), Some(gid))?;
            if let Some(above) = path.parent() {
                fs::set_permissions(above, fs::Permissions::from_mode(0o711))?;
            }
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }

    /// One of the programs, or another that is run as this account.
    pub fn command(&self, program: &str) -> Command {
        let own = self.bin.join(program);
        let mut command = Command::new(if own.exists() {
            own.as_path()
        } else {
            Path::new(program)
        });
        command
            .current_dir("/")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// What it wrote, when it failed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .await
            .with_context(|| format!("cannot start {program}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {}: {text}{error}", arguments.join(" "));
        }
        Ok(text)
    }
}

/// A server, which may be down.
#[derive(Debug)]
pub struct PostgresServer {
    programs: Programs,
    /// Its cluster.
    pub data: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    disk: Disk,
    settings: Vec<String>,
    child: Option<Child>,
}

impl PostgresServer {
    /// A new cluster in `dir`, running, with an empty database. `settings` are those of postgresql.conf, `name=value`.
    ///
    /// # Errors
    /// It cannot be made or started.
    pub async fn create(dir: &Path, disk: Disk, settings: &[&str]) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let data = dir.join("primary");
        programs.directory(&data)?;
        let place = data.display().to_string();
        let user = format!("--username={NAME}");
        let mut arguments = vec!["--pgdata", &place, &user, "--auth=trust", "--encoding=UTF8"];
        arguments.extend(["--locale=C.UTF-8", "--data-checksums"]);
        if disk == Disk::ThrownAway {
            arguments.push("--no-sync");
        }
        programs.run("initdb", &arguments).await?;
        let mut server = Self::of(programs, data, disk, settings)?;
        server.start().await?;
        let mut maintenance = server.connect_to("postgres").await?;
        maintenance
            .execute(AssertSqlSafe(format!("CREATE DATABASE {NAME}")))
            .await?;
        maintenance.close().await?;
        Ok(server)
    }

    /// The server of a cluster that is there, not started.
    ///
    /// # Errors
    /// There is no free port.
    pub fn of(
        programs: Programs,
        data: PathBuf,
        disk: Disk,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self {
            programs,
            data,
            address: free,
            disk,
            settings: settings.iter().map(|one| (*one).to_owned()).collect(),
            child: None,
        })
    }

    /// A running streaming replica of this server, its cluster in `dir`.
    ///
    /// # Errors
    /// It cannot be copied or started.
    pub async fn replica(&self, dir: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let data = dir.join("replica");
        self.copy(&data, &["--write-recovery-conf"]).await?;
        let mut replica = Self::of(self.programs.clone(), data, self.disk, settings)?;
        replica.start().await?;
        Ok(replica)
    }

    /// A copy of the running cluster, with the log that it needs (`pg_basebackup`).
    ///
    /// # Errors
    /// It cannot be copied.
    pub async fn copy(&self, to: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        self.programs.directory(to)?;
        let (place, port) = (to.display().to_string(), self.address.port().to_string());
        let mut all = vec!["--pgdata", &place, "--host=127.0.0.1", "--port", &port];
        all.extend([
            "--username",
            NAME,
            "--checkpoint=fast",
            "--wal-method=stream",
        ]);
        if self.disk == Disk::ThrownAway {
            all.push("--no-sync");
        }
        all.extend(arguments);
        self.programs.run("pg_basebackup", &all).await?;
        Ok(())
    }

    /// Starts it where it was; it answers when this returns.
    ///
    /// # Errors
    /// It ended or did not answer in time.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let log = self.data.with_extension("log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(&self.data);
        let (port, fsync) = (self.address.port(), self.disk == Disk::Durable);
        let full_page_writes = fsync;
        for setting in [
            format!("port={port}"),
            format!("fsync={fsync}"),
            format!("full_page_writes={full_page_writes}"),
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=100",
            "shared_buffers=64MB",
            "jit=off",
            "timezone=UTC",
            "lc_messages=C",
            "logging_collector=off",
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().context("cannot start postgres")?;
        let begun = Instant::now();
        loop {
            if let Ok(conn) = self.connect_to("postgres").await {
                // The answer is what counts.
                let _ = conn.close().await;
                break;
            }
            let ended = child.try_wait()?;
            if ended.is_some() || begun.elapsed() > READY_WITHIN {
                bail!(
                    "the server did not start:\n{}",
                    fs::read_to_string(&log).unwrap_or_default()
                );
            }
            sleep(POLL).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// Its database, for `database.url`.
    #[must_use]
    pub fn url(&self) -> String {
        url_at(self.address)
    }

    /// A connection to its database.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.connect_to(NAME).await
    }

    async fn connect_to(&self, database: &str) -> sqlx::Result<PgConnection> {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.address.port())
            .username(NAME)
            .database(database)
            .disable_statement_logging()
            .connect()
            .await
    }

    /// Runs statements, each by itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, statements: &[&str]) -> anyhow::Result<()> {
        let mut conn = self.connect().await?;
        for statement in statements {
            conn.execute(AssertSqlSafe((*statement).to_owned()))
                .await
                .with_context(|| (*statement).to_owned())?;
        }
        conn.close().await?;
        Ok(())
    }

    /// Waits until a query says yes.
    ///
    /// # Errors
    /// It did not in time, or the server's.
    pub async fn wait_for(&self, query: &str, within: Duration) -> anyhow::Result<()> {
        let mut conn = self.connect().await?;
        let begun = Instant::now();
        loop {
            let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
                .fetch_optional(&mut conn)
                .await?;
            if found == Some(true) {
                return Ok(conn.close().await?);
            }
            if begun.elapsed() > within {
                bail!("not in time: {query}");
            }
            sleep(POLL).await;
        }
    }

    /// Has every commit wait until a replica has it on its disk, from now on, and waits until one is there.
    ///
    /// # Errors
    /// The server's; there is no replica.
    pub async fn make_synchronous(&self) -> anyhow::Result<()> {
        self.execute(&[
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ])
        .await?;
        let is_there = "SELECT true FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.wait_for(is_there, READY_WITHIN).await
    }

    /// Makes a primary of a replica; it takes writes when this returns.
    ///
    /// # Errors
    /// It is none.
    pub async fn promote(&self) -> anyhow::Result<()> {
        self.execute(&["SELECT pg_promote(wait => false)"]).await?;
        self.wait_for("SELECT NOT pg_is_in_recovery()", PROMOTED_WITHIN)
            .await
    }

    /// Ends it with SIGKILL, as a power cut does to its processes.
    ///
    /// # Errors
    /// It is down.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it is down")?;
        child.kill().await?;
        Ok(())
    }

    /// Stops it in order (a fast shutdown: transactions are rolled back).
    ///
    /// # Errors
    /// It is down, or does not stop in time.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("it is down")?;
        let pid = child.id().context("it has ended")?;
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
        let ended = tokio::time::timeout(STOPPED_WITHIN, child.wait()).await;
        Ok(ended.context("it does not stop")??)
    }
}

/// The database of a server that is reached at an address.
#[must_use]
pub fn url_at(address: SocketAddr) -> String {
    format!("postgres://{NAME}@{address}/{NAME}")
}
