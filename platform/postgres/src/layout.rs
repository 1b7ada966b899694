//! The files of the data directory.
//!
//! ```text
//! DATA/postgres/           ours; others may pass through (root steps down), not read
//! DATA/postgres/lock       flock: one platform process at a time
//! DATA/postgres/server.log the server's and initdb's output
//! DATA/postgres/cluster/   the account's: what initdb makes
//! DATA/postgres/socket/    the account's, 0700: access to it is the authentication
//! ```
//!
//! `lock` and `server.log` are outside what the account may write, so that a subverted server
//! cannot make root write elsewhere by a symbolic link.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::account::Account;
use super::error::PostgresError;
use super::holder::{self, Watch};

/// The port in the socket's file name; there is no TCP port.
pub(super) const PORT: u16 = 5432;
/// A Unix socket's path: 108 bytes with the closing NUL (unix(7)).
const SOCKET_PATH_LEN_MAX: usize = 107;
/// A log longer than this is set aside when the server starts.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of the log an error shows.
const LOG_TAIL_BYTES: u64 = 4 * 1024;

/// Paths in the data directory, all absolute.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) data_dir: PathBuf,
    pub(super) home: PathBuf,
    pub(super) cluster: PathBuf,
    pub(super) log: PathBuf,
}

impl Layout {
    /// Makes the data directory when it is not there.
    pub(super) fn open(data_dir: &Path) -> Result<Self, PostgresError> {
        make_dir(data_dir, 0o755)?;
        // Absolute and without symbolic links: the server's working directory is another.
        let data_dir = fs::canonicalize(data_dir).map_err(PostgresError::io(data_dir))?;
        let home = data_dir.join("postgres");
        make_dir(&home, 0o711)?;
        Ok(Self {
            cluster: home.join("cluster"),
            log: home.join("server.log"),
            data_dir,
            home,
        })
    }

    /// The major version that made the cluster; `None` when there is no cluster.
    pub(super) fn cluster_version(&self) -> Result<Option<u32>, PostgresError> {
        let file = self.cluster.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                PostgresError::io(&file)(io::Error::other("holds no PostgreSQL version"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PostgresError::io(&file)(error)),
        }
    }

    /// Makes the private directory for the socket and removes what an earlier server left there.
    pub(super) fn socket_dir(&self, account: Account) -> Result<PathBuf, PostgresError> {
        let own = self.home.join("socket");
        let dir = if fits(&own) {
            own
        } else {
            self.short_socket_dir()
        };
        if !fits(&dir) {
            return Err(PostgresError::SocketDirectory {
                dir,
                reason: "its path is too long",
            });
        }
        if let Some(parent) = dir.parent() {
            make_dir(parent, 0o755)?;
        }
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => account.give(&dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(PostgresError::io(&dir)(error)),
        }
        // In a shared directory another user may have created it first.
        let metadata = fs::symlink_metadata(&dir).map_err(PostgresError::io(&dir))?;
        if !metadata.is_dir() || metadata.uid() != account.uid.as_raw() {
            return Err(PostgresError::SocketDirectory {
                dir,
                reason: "it is not a directory of the account that runs Postgres",
            });
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .map_err(PostgresError::io(&dir))?;
        // We hold the lock and no server runs, so these belong to a server that has ended. Postgres would
        // refuse to start if its process id now belongs to another process.
        for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
            remove_file(&dir.join(name))?;
        }
        Ok(dir)
    }

    /// A place for the socket when the data directory's path is too long: short, and the same
    /// for the same data directory.
    fn short_socket_dir(&self) -> PathBuf {
        let hash = digest::digest(
            &digest::SHA256,
            self.data_dir.as_os_str().as_encoded_bytes(),
        );
        let name = format!("qris-soundbox-{}", hex::encode(&hash.as_ref()[..8]));
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let usual = [Path::new("/run").to_owned(), PathBuf::from("/tmp")];
        // `/run` is writable for root only; an ordinary user has a directory of its own there.
        runtime
            .filter(|dir| dir.is_absolute() && !nix::unistd::geteuid().is_root())
            .into_iter()
            .chain(usual)
            .map(|dir| {
                (
                    nix::unistd::access(&dir, nix::unistd::AccessFlags::W_OK),
                    dir,
                )
            })
            .find_map(|(writable, dir)| {
                let dir = dir.join(&name);
                (writable.is_ok() && fits(&dir)).then_some(dir)
            })
            .unwrap_or_else(|| Path::new("/tmp").join(name))
    }

    /// Opens the log for a new server, renames a long one, and returns where the new output begins.
    pub(super) fn open_log(&self) -> Result<(File, u64), PostgresError> {
        let error = || PostgresError::io(&self.log);
        let length = fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        if length > LOG_BYTES_MAX {
            fs::rename(&self.log, self.log.with_extension("log.1")).map_err(error())?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(error())?;
        let begin = file.metadata().map_err(error())?.len();
        Ok((file, begin))
    }

    /// The end of the log since `begin`.
    pub(super) fn log_tail(&self, begin: u64) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            let from = begin.max(length.saturating_sub(LOG_TAIL_BYTES));
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
            Ok(tail)
        };
        match read() {
            Ok(tail) => String::from_utf8_lossy(&tail).into_owned(),
            Err(error) => format!("(the log could not be read: {error})"),
        }
    }
}

/// The right to use a data directory; given back when dropped, or when this process ends in any
/// way. Postgres does not inherit it: see [`super::predecessor`].
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not do: a process that another thread is just forking has a copy of
        // the open file until it calls exec. Should it fail, closing follows anyway.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock, or returns its holder. A process that was killed keeps it until its last connection is closed, which
    /// takes seconds when there are thousands: that is waited for.
    pub(super) async fn take(layout: &Layout) -> Result<Self, PostgresError> {
        let path = layout.home.join("lock");
        let error = || PostgresError::io(&path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(error())?;
        let mut watch = Watch::begin();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file);
                    if !watch.may_wait(pid) {
                        return Err(PostgresError::AlreadyRunning {
                            dir: layout.data_dir.clone(),
                            pid,
                        });
                    }
                    tokio::time::sleep(holder::POLL).await;
                }
                Err(TryLockError::Error(source)) => return Err(error()(source)),
            }
        }
        file.seek(SeekFrom::Start(0)).map_err(error())?;
        file.set_len(0).map_err(error())?;
        writeln!(file, "{}", std::process::id()).map_err(error())?;
        Ok(Self { file })
    }
}

/// The process id in the lock file; none if it is not written yet.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Makes a directory and those above it. The mode is that of new ones only.
fn make_dir(dir: &Path, mode: u32) -> Result<(), PostgresError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(PostgresError::io(dir))
}

pub(super) fn remove_file(file: &Path) -> Result<(), PostgresError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PostgresError::io(file)(error))
        }
        _ => Ok(()),
    }
}

fn fits(dir: &Path) -> bool {
    let file = format!("/.s.PGSQL.{PORT}");
    dir.as_os_str().len() + file.len() <= SOCKET_PATH_LEN_MAX
}

/// The default data directory: `/var/lib/qris-soundbox` for root (below `/root` no other account
/// could reach it), else `$XDG_STATE_HOME/qris-soundbox`, which by default is
/// `~/.local/state/qris-soundbox` (XDG Base Directory Specification).
pub fn default_data_dir() -> PathBuf {
    data_dir_of(
        nix::unistd::geteuid().is_root(),
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
        std::env::home_dir(),
    )
}

fn data_dir_of(root: bool, state_home: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    const NAME: &str = "qris-soundbox";
    if root {
        return Path::new("/var/lib").join(NAME);
    }
    state_home
        // The specification: a relative path is to be ignored.
        .filter(|dir| dir.is_absolute())
        .or_else(|| home.map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_follows_the_account() {
        let path = |text: &str| Some(PathBuf::from(text));
        let cases = [
            (true, path("/x"), path("/root"), "/var/lib/qris-soundbox"),
            (false, path("/x"), path("/home/a"), "/x/qris-soundbox"),
            (
                false,
                path("x"),
                path("/home/a"),
                "/home/a/.local/state/qris-soundbox",
            ),
            (
                false,
                None,
                path("/home/a"),
                "/home/a/.local/state/qris-soundbox",
            ),
        ];
        for (root, state, home, expected) in cases {
            assert_eq!(data_dir_of(root, state, home), Path::new(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_of_a_process_that_is_gone_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let path = layout.home.join("lock");
        fs::write(&path, format!("{}\n", gone.id())).unwrap();
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let begin = tokio::time::Instant::now();
        let release = async {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(Lock::take(&layout), release);
        taken.unwrap();
        assert!(begin.elapsed() >= std::time::Duration::from_secs(3));
        let pid = fs::read_to_string(&path).unwrap();
        assert_eq!(pid, format!("{}\n", std::process::id()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_never_given_back_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let held = File::create(layout.home.join("lock")).unwrap();
        held.lock().unwrap();
        let refused = Lock::take(&layout).await.unwrap_err();
        assert!(
            matches!(refused, PostgresError::AlreadyRunning { pid: None, .. }),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_lock_is_given_to_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let first = Lock::take(&layout).await.unwrap();
        let refused = Lock::take(&layout).await.unwrap_err();
        assert!(
            matches!(refused, PostgresError::AlreadyRunning { pid: Some(pid), .. }
                if pid == std::process::id()),
            "{refused}"
        );
        drop(first);
        Lock::take(&layout).await.unwrap();
    }

    #[test]
    fn a_long_log_is_set_aside_and_the_tail_begins_with_this_server() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        fs::write(&layout.log, "an old server's words\n").unwrap();
        let (mut log, begin) = layout.open_log().unwrap();
        log.write_all(b"new words\n").unwrap();
        assert_eq!(layout.log_tail(begin), "new words\n");
        log.set_len(LOG_BYTES_MAX + 1).unwrap();
        let (_, begin) = layout.open_log().unwrap();
        assert_eq!(begin, 0);
        assert!(layout.home.join("server.log.1").exists());
    }
}
