//! Why the embedded Postgres did not start or stop.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why the embedded Postgres did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No directory holds both `postgres` and `initdb`.
    #[error(
        "no PostgreSQL server found (looked in {searched}). Install one (`apt-get install \
         postgresql`), or set PG_BIN_DIR to the directory that holds `postgres` and `initdb`, or \
         set DATABASE_URL to a server that runs already"
    )]
    BinariesMissing {
        /// The directories that were searched.
        searched: String,
    },
    /// The cluster was made by another major version than is installed.
    #[error(
        "{} was made by PostgreSQL {wanted}, which is not installed (looked in {searched}). \
         Install it (`apt-get install postgresql-{wanted}`), or set PG_BIN_DIR to its binaries, \
         or move the data to a newer version with pg_upgrade",
        cluster.display()
    )]
    VersionMissing {
        /// The cluster's directory.
        cluster: PathBuf,
        /// The major version that made it.
        wanted: u32,
        /// The directories that were searched.
        searched: String,
    },
    /// Another process of ours uses the data directory.
    #[error(
        "{} is in use by another platform process{}; stop that one, or give this one another \
         data directory",
        dir.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    AlreadyRunning {
        /// The data directory.
        dir: PathBuf,
        /// The other process, if known.
        pid: Option<u32>,
    },
    /// A server whose parent died has not ended in time.
    #[error("the Postgres of an earlier run (pid {pid}) is still stopping after {} s", waited.as_secs())]
    StillStopping {
        /// The old server.
        pid: i32,
        /// How long it was given.
        waited: Duration,
    },
    /// We are root, as which Postgres refuses to run, and no other account exists.
    #[error(
        "Postgres refuses to run as root, and there is neither an account `postgres` nor `nobody`"
    )]
    NoAccount,
    /// The cluster belongs to another account.
    #[error(
        "{} belongs to uid {owner}, so uid {own} cannot run Postgres on it; start as its owner or \
         as root, or use another data directory",
        cluster.display()
    )]
    ForeignCluster {
        /// The cluster's directory.
        cluster: PathBuf,
        /// Its owner.
        owner: u32,
        /// Our account.
        own: u32,
    },
    /// No directory is short enough for a socket and private.
    #[error("{} cannot hold a private Unix socket: {reason}", dir.display())]
    SocketDirectory {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `initdb` failed.
    #[error("initdb failed ({status}):\n{log}")]
    InitDb {
        /// How it ended.
        status: ExitStatus,
        /// Its last output.
        log: String,
    },
    /// The server ended before it was ready.
    #[error("Postgres ended while starting ({status}); the end of {}:\n{log}", file.display())]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The log file.
        file: PathBuf,
        /// The end of the log.
        log: String,
    },
    /// The server runs but does not answer.
    #[error("Postgres was not ready after {} s; the end of {}:\n{log}", waited.as_secs(), file.display())]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// The log file.
        file: PathBuf,
        /// The end of the log.
        log: String,
    },
    /// The server survived every signal.
    #[error("Postgres (pid {pid}) could not be stopped")]
    WillNotStop {
        /// The server.
        pid: i32,
    },
    /// A file or directory could not be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The server answered, but not as it should.
    #[error("the database could not be prepared: {0}")]
    Database(#[from] sqlx::Error),
}

impl PostgresError {
    /// For `map_err` on an operation on `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
