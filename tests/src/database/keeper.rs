//! The process that owns the test server.
//!
//! ```text
//! DIR/starting   flock, exclusive: one process at a time looks for a keeper or starts one
//! DIR/present    flock, shared: held by every test process for as long as it lives
//! DIR/url        where the server is; written when it is ready, removed before it stops
//! DIR/data-PID/  the server's data directory · DIR/keeper.log the keeper's log
//! ```
//!
//! The keeper stops when it gets `present` exclusively after an idle while. It takes `starting`
//! first, so no process can join a server that is about to stop.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use embedded_postgres::{Launcher, Server, StartOptions};
use nix::sys::statvfs::statvfs;

/// The program that keeps the server; built with the tests.
const PROGRAM: &str = "test-database";
/// How long the keeper stays after the last test process: longer than the pause between two.
const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// How long a keeper may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Prefix of data directories.
const DATA: &str = "data-";
const POLL: Duration = Duration::from_millis(10);
/// A file system in memory.
const IN_MEMORY: &str = "/dev/shm";
/// How large it has to be: a run needs 200 MB. Containers often have 64 MB.
const IN_MEMORY_BYTES_MIN: u64 = 2 << 30;

/// A test process's lock that keeps the keeper running.
#[derive(Debug)]
pub struct Presence {
    url: String,
    _present: File,
}

impl Presence {
    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Finds the keeper of this checkout, or starts one, and takes the shared lock.
pub fn join() -> anyhow::Result<Presence> {
    let dir = directory()?;
    let starting = open(&dir.join("starting"))?;
    starting.lock()?;
    let present = open(&dir.join("present"))?;
    // The keeper takes `present` exclusively only while it has `starting`, so this cannot wait.
    present.lock_shared()?;
    let url_file = dir.join("url");
    if let Some(url) = answering(&url_file) {
        return Ok(Presence {
            url,
            _present: present,
        });
    }
    remove(&url_file)?;
    spawn(&dir)?;
    let begin = Instant::now();
    loop {
        if let Ok(url) = fs::read_to_string(&url_file) {
            return Ok(Presence {
                url,
                _present: present,
            });
        }
        if begin.elapsed() > START_LIMIT || dir.join("failed").exists() {
            let log = fs::read_to_string(dir.join("keeper.log")).unwrap_or_default();
            bail!("the test database server did not start:\n{log}");
        }
        std::thread::sleep(POLL);
    }
}

/// Runs a keeper until no test process is left: `test-database keep DIR`.
pub async fn keep(dir: &Path) -> anyhow::Result<()> {
    let failed = dir.join("failed");
    remove(&failed)?;
    remove_old_data(dir);
    let data = dir.join(format!("{DATA}{}", std::process::id()));
    let server = match start(&data).await {
        Ok(server) => server,
        Err(error) => {
            fs::write(&failed, "")?;
            return Err(error);
        }
    };
    publish(dir, server.database_url())?;

    let starting = open(&dir.join("starting"))?;
    let present = open(&dir.join("present"))?;
    let mut exited = std::pin::pin!(server.exited());
    let mut idle_since = Instant::now();
    loop {
        tokio::select! {
            status = &mut exited => bail!("the test database server ended: {status}"),
            () = tokio::time::sleep(POLL * 10) => {}
        }
        match try_exclusively(&starting, &present)? {
            // A test process is running or starting.
            false => idle_since = Instant::now(),
            true if idle_since.elapsed() < IDLE_LIMIT => {
                present.unlock()?;
                starting.unlock()?;
            }
            true => break,
        }
    }
    // Both locks are held: no process can find a server that is stopping.
    remove(&dir.join("url"))?;
    server.stop().await?;
    fs::remove_dir_all(data)?;
    Ok(())
}

/// Removes the data of keepers that were killed.
fn remove_old_data(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DATA.as_bytes())
        {
            // Its server may still be stopping; then the next keeper removes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Where everything temporary of a test run is: `TMPDIR`, or else in memory where that has room. Each test's database is a
/// thousand files, which a file system on a disk takes ten times as long to create and delete.
pub fn temporary_dir() -> PathBuf {
    if std::env::var_os("TMPDIR").is_none()
        && let Ok(memory) = statvfs(IN_MEMORY)
        && memory.blocks() * memory.fragment_size() >= IN_MEMORY_BYTES_MIN
    {
        return PathBuf::from(IN_MEMORY);
    }
    std::env::temp_dir()
}

/// Starts a throw-away server.
pub async fn start(data: &Path) -> anyhow::Result<Server> {
    let options = StartOptions {
        durable: false,
        ..StartOptions::from_env()
    };
    Ok(Launcher::start(data, options).await?)
}

/// A directory of this checkout and this user.
fn directory() -> anyhow::Result<PathBuf> {
    let uid = nix::unistd::geteuid().as_raw();
    let hash = digest::digest(&digest::SHA256, env!("CARGO_MANIFEST_DIR").as_bytes());
    let name = format!("soundbox-tests-{uid}-{}", hex::encode(&hash.as_ref()[..6]));
    let dir = temporary_dir().join(name);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| dir.display().to_string());
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(&dir)?;
    if !metadata.is_dir() || metadata.uid() != uid {
        bail!("{} is not a directory of ours", dir.display());
    }
    Ok(dir)
}

/// The URL in the file, if a server answers there: a keeper that was killed leaves the file.
fn answering(url_file: &Path) -> Option<String> {
    let url = fs::read_to_string(url_file).ok()?;
    let socket_dir = url.parse::<sqlx::postgres::PgConnectOptions>().ok()?;
    let socket = socket_dir.get_socket()?.join(".s.PGSQL.5432");
    std::os::unix::net::UnixStream::connect(socket).ok()?;
    Some(url)
}

/// Starts a keeper that outlives this process and inherits nothing from it.
fn spawn(dir: &Path) -> anyhow::Result<()> {
    let program = program()?;
    remove(&dir.join("failed"))?;
    let log = File::create(dir.join("keeper.log"))?;
    Command::new(&program)
        .arg("keep")
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // nextest ends a test's whole group.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(())
}

/// `target/debug/test-database`, seen from `target/debug/deps/some_test-0123`.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(PROGRAM))
        .find(|program| program.is_file())
        .with_context(|| {
            format!(
                "there is no {PROGRAM} beside {}: build it (cargo build -p tests), set {}, or use \
                 ./test.sh",
                own.display(),
                super::SERVER_URL
            )
        })
}

/// Takes both locks, or neither.
fn try_exclusively(starting: &File, present: &File) -> anyhow::Result<bool> {
    if !try_lock(starting)? {
        return Ok(false);
    }
    if try_lock(present)? {
        return Ok(true);
    }
    starting.unlock()?;
    Ok(false)
}

fn try_lock(file: &File) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Writes the file atomically.
fn publish(dir: &Path, url: &str) -> io::Result<()> {
    let draft = dir.join("url.new");
    fs::write(&draft, url)?;
    fs::rename(draft, dir.join("url"))
}

fn open(file: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)
        .with_context(|| file.display().to_string())
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| file.display().to_string())
        }
        _ => Ok(()),
    }
}
