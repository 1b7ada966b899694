//! Making a database cluster, and the command line of the server that runs it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::account::Account;
use super::child::{Child, Inheritance};
use super::error::PostgresError;
use super::layout::{Layout, Lock, PORT};
use super::predecessor;

/// The one role and the one database in the cluster.
pub(super) const ROLE: &str = "soundbox";
/// The database that the platform uses.
pub(super) const DATABASE: &str = "soundbox";
/// Makes [`DATABASE`].
pub(super) const CREATE_DATABASE: &str = "CREATE DATABASE soundbox";

/// Prefix of a cluster in the making.
const DRAFT: &str = "cluster.new-";

/// Runs `initdb` into a temporary name and renames it, so that a cluster is whole or not there.
pub(super) async fn init(
    layout: &Layout,
    bin_dir: &Path,
    account: Account,
    durable: bool,
    lock: &Arc<Lock>,
) -> Result<(), PostgresError> {
    remove_drafts(&layout.home);
    let draft = layout.home.join(format!("{DRAFT}{}", std::process::id()));
    DirBuilder::new()
        .mode(0o700)
        .create(&draft)
        .map_err(PostgresError::io(&draft))?;
    account.give(&draft)?;

    let place = Place::of(&draft, account)?;
    let mut command = Command::new(bin_dir.join("initdb"));
    clean_environment(&mut command);
    command
        .arg("--pgdata")
        .arg(&place.name)
        .arg(format!("--username={ROLE}"))
        // Access to the socket's private directory is the authentication; there is no TCP port.
        .args(["--auth-local=trust", "--auth-host=reject"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"])
        .arg("--no-instructions");
    if !durable {
        command.arg("--no-sync");
    }
    let (log, begin) = layout.open_log()?;
    let program = bin_dir.join("initdb");
    let child = Child::spawn(
        command,
        Inheritance {
            account,
            log,
            directories: place.directory.into_iter().collect(),
            lock: Arc::clone(lock),
        },
    )
    .await
    .map_err(PostgresError::io(&program))?;
    let status = child.ended().await;
    if !status.success() {
        remove_drafts(&layout.home);
        return Err(PostgresError::InitDb {
            status,
            log: layout.log_tail(begin),
        });
    }
    fs::rename(&draft, &layout.cluster).map_err(PostgresError::io(&layout.cluster))?;
    File::open(&layout.home)
        .and_then(|home| home.sync_all())
        .map_err(PostgresError::io(&layout.home))
}

/// Removes what an `initdb` that was cut off has left.
fn remove_drafts(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DRAFT.as_bytes())
        {
            // Another process may be removing it at the same time, which is harmless.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The server's command, and the directories that it has to inherit.
pub(super) fn server(
    layout: &Layout,
    bin_dir: &Path,
    account: Account,
    socket_dir: &Path,
    durable: bool,
) -> Result<(Command, Vec<OwnedFd>), PostgresError> {
    let cluster = Place::of(&layout.cluster, account)?;
    let socket = Place::of(socket_dir, account)?;
    let mut command = Command::new(bin_dir.join("postgres"));
    clean_environment(&mut command);
    command.arg("-D").arg(&cluster.name);
    let mut set = |setting: &OsStr| {
        command.arg("-c").arg(setting);
    };
    set(&predecessor::mark(&layout.cluster));
    let mut sockets = OsString::from("unix_socket_directories=");
    sockets.push(quoted(&socket.name));
    set(&sockets);
    set(format!("port={PORT}").as_ref());
    // The command line, not postgresql.conf, so that they change with the program. The machine is
    // small and shared with the platform itself: short statements, few connections.
    for setting in [
        "listen_addresses=",
        "synchronous_commit=on",
        "unix_socket_permissions=0700",
        "shared_buffers=128MB",
        "work_mem=4MB",
        "maintenance_work_mem=64MB",
        "effective_cache_size=512MB",
        "random_page_cost=1.1",
        "wal_compression=on",
        "max_wal_size=1GB",
        "min_wal_size=128MB",
        "checkpoint_timeout=10min",
        "checkpoint_completion_target=0.9",
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "lc_messages=C",
        "logging_collector=off",
        "log_destination=stderr",
        "log_checkpoints=off",
        "max_logical_replication_workers=0",
    ] {
        set(setting.as_ref());
    }
    // Without fsync a commit still survives the death of any process, only not that of the machine. Such a server is shared by
    // many platforms of tests.
    let purpose = if durable {
        ["fsync=on", "full_page_writes=on", "max_connections=100"]
    } else {
        ["fsync=off", "full_page_writes=off", "max_connections=400"]
    };
    for setting in purpose {
        set(setting.as_ref());
    }
    let directories = [cluster.directory, socket.directory];
    Ok((command, directories.into_iter().flatten().collect()))
}

/// Postgres reads a list here: a name with commas or spaces must be quoted.
fn quoted(path: &Path) -> OsString {
    let mut quoted = OsString::from("\"");
    quoted.push(path.to_string_lossy().replace('"', "\"\"").as_str());
    quoted.push("\"");
    quoted
}

/// How the account gets at a directory: by its name, or, where a directory above it is closed to
/// the account (`/root`, `mktemp -d`), through an open directory that it inherits.
struct Place {
    name: PathBuf,
    directory: Option<OwnedFd>,
}

impl Place {
    fn of(path: &Path, account: Account) -> Result<Self, PostgresError> {
        if account.can_reach(path) {
            return Ok(Self {
                name: path.to_owned(),
                directory: None,
            });
        }
        let directory = OwnedFd::from(File::open(path).map_err(PostgresError::io(path))?);
        Ok(Self {
            name: PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())),
            directory: Some(directory),
        })
    }
}

/// The caller's environment must not influence the server or initdb.
fn clean_environment(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
}
