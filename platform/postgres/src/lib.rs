//! The embedded Postgres: the distribution's server, started and stopped by us.
//!
//! A demo, a test or a small installation needs no database set up beforehand. When
//! `DATABASE_URL` is unset, [`Launcher::start`] runs the installed server binaries on a private
//! Unix socket in the data directory: durable (fsync and checksums on), reachable by this account only,
//! and ended with this process. Everything rests on one invariant: *only the process that holds the lock
//! on the data directory changes it*, so the remains of an earlier run can be examined safely.
//!
//! - [`layout`]: directories, lock, log · [`account`]: as whom the server runs
//! - [`binaries`]: finding `postgres` and `initdb` · [`cluster`]: `initdb` and the settings
//! - [`child`]: a process that dies with us · [`predecessor`]: what an earlier run left · [`holder`]: whether who has the
//!   lock is dying

mod account;
mod binaries;
mod child;
mod cluster;
mod error;
mod holder;
mod layout;
mod predecessor;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{Instant, sleep, timeout};

pub use self::binaries::Search;
pub use self::error::PostgresError;
pub use self::layout::default_data_dir;

use self::account::Account;
use self::child::{Child, Inheritance};
use self::layout::{Layout, Lock};

/// Between two attempts to connect to a starting server.
const READY_POLL: Duration = Duration::from_millis(10);
/// How long a fast shutdown (SIGINT: roll back, checkpoint) may take.
const FAST_STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long an immediate shutdown (SIGQUIT: abort, recover at the next start) may take.
const IMMEDIATE_STOP_LIMIT: Duration = Duration::from_secs(10);
/// What Postgres says while backends of a killed server still hold its memory.
const MEMORY_IN_USE: &str = "pre-existing shared memory block";

/// How to start.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Whether a commit survives a power cut, not only the end of any process. Only throw-away test
    /// servers say no.
    pub durable: bool,
    /// Where the server's binaries are looked for.
    pub search: Search,
    /// How long the server may take until it answers, recovery after a crash included.
    pub ready_within: Duration,
}

impl StartOptions {
    /// A durable server from the binaries that the environment names.
    pub fn from_env() -> Self {
        Self {
            durable: true,
            search: Search::from_env(),
            ready_within: Duration::from_secs(60),
        }
    }
}

/// Starts servers.
pub struct Launcher;

impl Launcher {
    /// Starts the server of `data_dir`, making directory, cluster and database when missing, and
    /// gives it when it answers.
    ///
    /// Refuses when another process has the data directory; waits (for up to 10 s) when that process is
    /// dying, and when the server of a process that was killed is still stopping.
    pub async fn start(data_dir: &Path, options: StartOptions) -> Result<Server, PostgresError> {
        let layout = Layout::open(data_dir)?;
        let lock = Arc::new(Lock::take(&layout).await?);
        let account = Account::choose(&layout.cluster)?;
        let version = layout.cluster_version()?;
        let wanted = version.map(|version| (layout.cluster.as_path(), version));
        let bin_dir = options.search.find(wanted)?;
        if version.is_none() {
            cluster::init(&layout, &bin_dir, account, options.durable, &lock).await?;
        }
        let starter = Starter {
            layout,
            lock,
            account,
            bin_dir,
            options,
        };
        let deadline = Instant::now() + predecessor::PATIENCE;
        loop {
            match starter.start_once().await {
                // Backends whose server was killed notice within moments and end.
                Err(PostgresError::Exited { log, .. })
                    if log.contains(MEMORY_IN_USE) && Instant::now() < deadline =>
                {
                    sleep(READY_POLL * 10).await;
                }
                result => return result,
            }
        }
    }
}

/// Everything that a start needs.
struct Starter {
    layout: Layout,
    lock: Arc<Lock>,
    account: Account,
    bin_dir: PathBuf,
    options: StartOptions,
}

impl Starter {
    async fn start_once(&self) -> Result<Server, PostgresError> {
        let layout = &self.layout;
        predecessor::settle(layout).await?;
        let socket_dir = layout.socket_dir(self.account)?;
        let (command, directories) = cluster::server(
            layout,
            &self.bin_dir,
            self.account,
            &socket_dir,
            self.options.durable,
        )?;
        let (log, begin) = layout.open_log()?;
        let child = Child::spawn(
            command,
            Inheritance {
                account: self.account,
                log,
                directories,
                lock: Arc::clone(&self.lock),
            },
        )
        .await
        .map_err(PostgresError::io(&self.bin_dir.join("postgres")))?;
        let server = Server {
            child,
            database_url: database_url(&socket_dir),
            socket_dir,
        };
        match timeout(self.options.ready_within, server.ready()).await {
            Ok(Ok(())) => Ok(server),
            Ok(Err(NotReady::Exited(status))) => Err(PostgresError::Exited {
                status,
                file: layout.log.clone(),
                log: layout.log_tail(begin),
            }),
            Ok(Err(NotReady::Database(error))) => {
                server.stop().await?;
                Err(error.into())
            }
            Err(_) => {
                let log = layout.log_tail(begin);
                server.stop().await?;
                Err(PostgresError::NotReady {
                    waited: self.options.ready_within,
                    file: layout.log.clone(),
                    log,
                })
            }
        }
    }
}

/// A running server. Dropping it tells the server to stop but does not wait; see
/// [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    child: Child,
    database_url: String,
    socket_dir: PathBuf,
}

enum NotReady {
    Exited(ExitStatus),
    Database(sqlx::Error),
}

impl Server {
    /// The platform's database, as sqlx and libpq (`psql`) understand it.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.pid().as_raw().unsigned_abs()
    }

    /// Completes when the server's process has ended, by our wish or not.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + 'static + use<> {
        self.child.ended()
    }

    /// Stops the server and waits for its end: open transactions are rolled back and a checkpoint
    /// is written; a server that takes too long over it is aborted, and recovers at its next start.
    pub async fn stop(self) -> Result<(), PostgresError> {
        for (signal, limit) in [
            (Signal::SIGINT, FAST_STOP_LIMIT),
            (Signal::SIGQUIT, IMMEDIATE_STOP_LIMIT),
            (Signal::SIGKILL, IMMEDIATE_STOP_LIMIT),
        ] {
            self.child.signal(signal);
            if let Ok(status) = timeout(limit, self.child.ended()).await {
                tracing::debug!(%status, %signal, "Postgres has stopped");
                return Ok(());
            }
            tracing::warn!(%signal, "Postgres did not stop within {} s", limit.as_secs());
        }
        Err(PostgresError::WillNotStop {
            pid: self.child.pid().as_raw(),
        })
    }

    /// Waits until the database answers, and makes it when it is not there.
    async fn ready(&self) -> Result<(), NotReady> {
        loop {
            match self.connect(cluster::DATABASE).await {
                Ok(connection) => {
                    // The answer is what counts; a lost goodbye changes nothing.
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) if is_missing_database(&error) => self.create_database().await?,
                Err(error) if is_starting(&error) => {}
                Err(error) => return Err(NotReady::Database(error)),
            }
            if let Some(status) = self.child.status() {
                return Err(NotReady::Exited(status));
            }
            sleep(READY_POLL).await;
        }
    }

    async fn create_database(&self) -> Result<(), NotReady> {
        let mut maintenance = self.connect("postgres").await.map_err(NotReady::Database)?;
        maintenance
            .execute(cluster::CREATE_DATABASE)
            .await
            .map_err(NotReady::Database)?;
        let _ = maintenance.close().await;
        Ok(())
    }

    async fn connect(&self, database: &str) -> Result<sqlx::PgConnection, sqlx::Error> {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(layout::PORT)
            .ssl_mode(PgSslMode::Disable)
            .username(cluster::ROLE)
            .database(database)
            .connect()
            .await
    }
}

/// No socket yet, no process listening on it, or `cannot_connect_now` (recovery).
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// `invalid_catalog_name`.
fn is_missing_database(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("3D000"))
}

/// `postgres://soundbox@localhost/soundbox?host=SOCKET_DIR`. The query's host overrules the other,
/// which is there because a URL needs one.
fn database_url(socket_dir: &Path) -> String {
    let mut host = String::new();
    for byte in socket_dir.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                host.push(char::from(*byte));
            }
            other => host.push_str(&format!("%{other:02X}")),
        }
    }
    let (role, database) = (cluster::ROLE, cluster::DATABASE);
    format!("postgres://{role}@localhost/{database}?host={host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_leads_to_the_socket_whatever_its_directory_is_called() {
        let dir = "/srv/a b&c=d%/ü";
        let url = database_url(Path::new(dir));
        let options: PgConnectOptions = url.parse().unwrap();
        assert_eq!(options.get_socket().unwrap(), Path::new(dir));
        assert_eq!(options.get_database(), Some("soundbox"));
        assert_eq!(options.get_username(), "soundbox");
    }
}
