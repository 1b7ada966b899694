//! The server of an earlier run.
//!
//! This process holds the lock, so the process that started an earlier server has ended. Its
//! server may still be stopping (the kernel signalled it when its parent died), or be gone
//! and have left `postmaster.pid` behind. Postgres judges that file by the process id in it alone,
//! and refuses to start when that id now belongs to another process; this is checked here.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::error::PostgresError;
use super::layout::{Layout, remove_file};

/// How long a dying server may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// After this time a server that was asked to stop is aborted.
const ABORT_AFTER: Duration = Duration::from_secs(7);
const POLL: Duration = Duration::from_millis(10);

/// The setting by which a server of ours is recognised in its command line. Postgres accepts any
/// setting with a dot in its name.
pub(super) fn mark(cluster: &Path) -> std::ffi::OsString {
    let mut mark = std::ffi::OsString::from("soundbox.cluster=");
    mark.push(cluster);
    mark
}

/// Waits until no server of an earlier run is left, and makes its `postmaster.pid` harmless.
pub(super) async fn settle(layout: &Layout) -> Result<(), PostgresError> {
    let file = layout.cluster.join("postmaster.pid");
    let begin = Instant::now();
    let mut asked = None;
    loop {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(PostgresError::io(&file)(error)),
        };
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        let Some(pid) = pid.filter(|pid| *pid > 0) else {
            // Cut off while it was written: no server ever ran with it.
            return remove_file(&file);
        };
        if !is_server(pid, &layout.cluster) {
            return disown(&file, &text);
        }
        let waited = begin.elapsed();
        if waited >= PATIENCE {
            return Err(PostgresError::StillStopping { pid, waited });
        }
        // It should be stopping; one that somehow missed its parent's death is asked again.
        let signal = if waited < ABORT_AFTER {
            Signal::SIGINT
        } else {
            Signal::SIGQUIT
        };
        if asked != Some(signal) {
            tracing::info!(pid, "waiting for the Postgres of an earlier run to stop");
            // It may have ended just now, which is what we wait for.
            let _ = kill(Pid::from_raw(pid), signal);
            asked = Some(signal);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether `pid` is a running server of ours on `cluster`. A zombie's command line is empty.
fn is_server(pid: i32, cluster: &Path) -> bool {
    let mark = mark(cluster);
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| {
        command_line
            .split(|byte| *byte == 0)
            .any(|argument| argument == mark.as_bytes())
    })
}

/// Puts our own process id into the file. Postgres takes a file that names its parent for stale,
/// and goes on to check by the rest of it that no orphaned backend still uses the shared memory;
/// without the file it could not.
fn disown(file: &Path, text: &str) -> Result<(), PostgresError> {
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(file)
        .and_then(|mut opened| opened.write_all(format!("{}\n{rest}", Pid::this()).as_bytes()))
        .map_err(PostgresError::io(file))
}
