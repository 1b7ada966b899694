//! Programs that run beside us: started, started again when they end, stopped, and never left behind.
//!
//! Each has a process group of its own, so that Ctrl-C reaches us alone and we stop them in order; the kernel signals
//! each when we die. "We" is the thread that started it, so [`Child`]ren are started from the main thread.

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
/// A program that ran this long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What is to run.
pub(super) struct Program {
    /// For people.
    pub(super) name: String,
    /// The executable.
    pub(super) executable: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// Where standard output is appended.
    pub(super) output: PathBuf,
    /// Where standard error is appended.
    pub(super) errors: PathBuf,
    /// What the kernel sends it when we die.
    pub(super) on_parent_death: Signal,
}

/// A program that is kept running.
pub(super) struct Child {
    program: Program,
    /// Held by every child as its (empty) standard input, so that it is free when the last of them has ended.
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
        let (us, death_signal) = (Pid::this(), program.on_parent_death);
        let before_exec = move || {
            set_pdeathsig(death_signal)?;
            if getppid() != us {
                // We died before the line above: nobody is left to signal the child.
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

    /// Starts it again when it has ended. Gives what there is to say about that.
    pub(super) fn tend(&mut self) -> Option<String> {
        let now = Instant::now();
        if let Some(process) = &mut self.process {
            let status = process.try_wait().ok().flatten()?;
            self.process = None;
            if now - self.started >= WELL_AFTER {
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
            "{} has ended by itself ({status}) and is started again in {} s; see {}",
            self.program.name,
            self.wait.as_secs(),
            self.program.errors.display()
        )
    }

    /// Asks it to stop, and waits for its end; ends it when it takes too long.
    pub(super) async fn stop(mut self, within: Duration) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(pid) = process.id() {
            // It is not reaped, so this number is its own; what can fail then is nothing.
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

/// The simulator, which is installed beside us.
///
/// # Errors
/// It is not there.
pub(super) fn simulator() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let file = own.parent().unwrap_or(Path::new("/")).join("device-sim");
    anyhow::ensure!(
        file.is_file(),
        "{} is missing: `cargo build -p device-sim` makes it, and --boxes 0 needs none",
        file.display()
    );
    Ok(file)
}
