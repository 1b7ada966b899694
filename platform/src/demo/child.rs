//! Child processes: started, restarted when they end, stopped, and never left behind.
//!
//! Each has a process group of its own, so that Ctrl-C reaches this process only, which stops the children in order. The
//! kernel signals each child when the thread that started it ends, so they are started from the main thread.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::log_file;

/// Between the end of a program and its next start.
const RESTART_MIN: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// After running this long, a program's restart delay is reset.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// A program to run.
pub(super) struct Program {
    /// Its name in messages.
    pub(super) name: String,
    /// The executable.
    pub(super) executable: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// Where standard output is appended.
    pub(super) output: PathBuf,
    /// Where standard error is appended.
    pub(super) errors: PathBuf,
    /// The signal that it gets when this process dies.
    pub(super) on_parent_death: Signal,
}

/// A program that is kept running.
pub(super) struct Child {
    program: Program,
    /// The locked file is every child's (empty) standard input, so that the lock is released when the last has ended.
    lock: File,
    process: Option<tokio::process::Child>,
    started: Instant,
    next_start: Instant,
    wait: Duration,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// An executable that cannot be started.
    pub(super) fn start(program: Program, lock: &File) -> anyhow::Result<Self> {
        let now = Instant::now();
        let mut child = Self {
            program,
            lock: lock.try_clone()?,
            process: None,
            started: now,
            next_start: now,
            wait: RESTART_MIN,
        };
        child.spawn()?;
        Ok(child)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let program = &self.program;
        let named = || format!("cannot start {}", program.executable.display());
        let mut command = Command::new(&program.executable);
        command
            .args(&program.args)
            .stdin(Stdio::from(self.lock.try_clone()?))
            .stdout(log_file::append(&program.output).with_context(named)?)
            .stderr(log_file::append(&program.errors).with_context(named)?)
            .process_group(0);
        let (parent, death_signal) = (Pid::this(), program.on_parent_death);
        let before_exec = move || {
            set_pdeathsig(death_signal)?;
            if getppid() != parent {
                // The parent died before prctl, so no signal will arrive.
                return Err(Errno::ESRCH.into());
            }
            Ok(())
        };
        #[expect(
            unsafe_code,
            reason = "the closure makes only async-signal-safe system calls (prctl, getppid) and allocates nothing"
        )]
        unsafe {
            command.pre_exec(before_exec);
        }
        self.process = Some(command.spawn().with_context(named)?);
        self.started = Instant::now();
        Ok(())
    }

    /// Restarts it when it has ended. Returns the problem, if there is one.
    pub(super) fn restart_if_ended(&mut self) -> Option<String> {
        let now = Instant::now();
        if let Some(process) = &mut self.process {
            let status = process.try_wait().ok().flatten()?;
            self.process = None;
            if now - self.started >= STABLE_AFTER {
                self.wait = RESTART_MIN;
            }
            self.next_start = now + self.wait;
            let problem = self.ended(status);
            self.wait = (self.wait * 2).min(RESTART_MAX);
            return Some(problem);
        }
        if now < self.next_start {
            return None;
        }
        let problem = self.spawn().err()?;
        self.next_start = now + self.wait;
        self.wait = (self.wait * 2).min(RESTART_MAX);
        Some(format!("{problem:#}"))
    }

    fn ended(&self, status: ExitStatus) -> String {
        format!(
            "{} has ended unexpectedly ({status}) and is restarted in {} s; see {}",
            self.program.name,
            self.wait.as_secs(),
            self.program.errors.display()
        )
    }

    /// Sends SIGTERM and waits for its end; kills it when it takes too long.
    pub(super) async fn stop(mut self, within: Duration) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(pid) = process.id() {
            // The child is not reaped yet, so the process id is still its own and the signal cannot fail.
            let _sent = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        if timeout(within, process.wait()).await.is_err() {
            tracing::warn!(
                "{} did not stop within {} s",
                self.program.name,
                within.as_secs()
            );
            let _gone = process.kill().await;
        }
    }
}

/// The simulator's executable, in the directory of this one.
///
/// # Errors
/// It is not there.
pub(super) fn simulator() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's executable")?;
    let file = own.parent().unwrap_or(Path::new("/")).join("device-sim");
    anyhow::ensure!(
        file.is_file(),
        "{} is missing: build it with `cargo build -p device-sim`, or give --boxes 0",
        file.display()
    );
    Ok(file)
}
