//! A child process that cannot outlive us.
//!
//! `PR_SET_PDEATHSIG` asks the kernel to signal a child when its parent dies, but "parent" means
//! the *thread* that forked it. So each child has a thread of its own that spawns it, waits for
//! its end and reaps it; when this process dies, whichever way, so does that thread.
//!
//! The child gets a process group of its own: Ctrl-C at a terminal reaches the foreground group,
//! which is ours, and we decide when Postgres stops.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getppid};
use tokio::sync::{oneshot, watch};

use super::account::Account;
use super::layout::Lock;

/// A running child; dropping it asks the child to stop (SIGINT) without waiting.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// `None` once it has ended and before it is reaped, so that a signal never reaches another process
    /// with the same id.
    alive: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

/// What a child is given besides its command line.
pub(super) struct Inheritance {
    /// The account that it runs as.
    pub(super) account: Account,
    /// Where its output goes.
    pub(super) log: File,
    /// Directories that it reaches by number (`/proc/self/fd/…`) and not by name.
    pub(super) directories: Vec<OwnedFd>,
    /// Kept by the thread until the child is reaped.
    pub(super) lock: Arc<Lock>,
}

impl Child {
    /// Starts `command` from a thread of its own.
    pub(super) async fn spawn(command: Command, inheritance: Inheritance) -> io::Result<Self> {
        let (started, start) = oneshot::channel();
        std::thread::Builder::new()
            .name("postgres parent".to_owned())
            .spawn(move || parent(command, inheritance, started))?;
        start
            .await
            .map_err(|_| io::Error::other("the thread that starts Postgres has ended"))?
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal, unless the child has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *alive {
            // The child is not yet reaped, so only permission could be missing, and we are root or the
            // child's own user.
            let _ = kill(pid, signal);
        }
    }

    /// Whether it has ended, and how.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub(super) fn ended(&self) -> impl Future<Output = ExitStatus> + Send + 'static + use<> {
        let mut ended = self.ended.clone();
        async move {
            loop {
                if let Some(status) = *ended.borrow_and_update() {
                    return status;
                }
                if ended.changed().await.is_err() {
                    // The thread reports how the child ended before it ends itself, except after a
                    // panic.
                    return std::os::unix::process::ExitStatusExt::from_raw(-1);
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// The thread's work: spawn, wait, reap.
fn parent(
    mut command: Command,
    inheritance: Inheritance,
    started: oneshot::Sender<io::Result<Child>>,
) {
    let lock = Arc::clone(&inheritance.lock);
    let spawned = prepare(&mut command, &inheritance).and_then(|()| command.spawn());
    // The child has its own copies of the log and the directories.
    drop(inheritance);
    let mut process = match spawned {
        Ok(process) => process,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_raw(process.id().cast_signed());
    let alive = Arc::new(Mutex::new(Some(pid)));
    let (ending, ended) = watch::channel(None);
    let child = Child {
        pid,
        alive: Arc::clone(&alive),
        ended,
    };
    // If the starter no longer waits, the child is dropped here, which stops it.
    drop(started.send(Ok(child)));

    // Wait without reaping: until the id is cleared it must not be reused.
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
    *alive.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let status = process
        .wait()
        .unwrap_or_else(|_| std::os::unix::process::ExitStatusExt::from_raw(-1));
    // Before the report: the receiver may start another server at once.
    drop(lock);
    ending.send_replace(Some(status));
}

fn prepare(command: &mut Command, inheritance: &Inheritance) -> io::Result<()> {
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(inheritance.log.try_clone()?)
        .stderr(inheritance.log.try_clone()?)
        .process_group(0);
    let account = inheritance.account;
    if account.steps_down {
        // For root, std clears the supplementary groups before it sets these.
        command.gid(account.gid.as_raw()).uid(account.uid.as_raw());
    }
    let us = Pid::this();
    let directories: Vec<RawFd> = inheritance
        .directories
        .iter()
        .map(|directory| directory.as_raw_fd())
        .collect();
    let before_exec = move || {
        // After setuid, which std has done by now: it clears the death signal.
        set_pdeathsig(Signal::SIGINT)?;
        if getppid() != us {
            // The parent died before the line above, so the death signal will not come.
            return Err(Errno::ESRCH.into());
        }
        for &directory in &directories {
            #[expect(
                unsafe_code,
                reason = "the numbers come from OwnedFds that live until after the fork"
            )]
            let directory = unsafe { BorrowedFd::borrow_raw(directory) };
            fcntl(directory, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "the closure makes only async-signal-safe system calls (prctl, getppid, fcntl) \
                  and allocates nothing"
    )]
    unsafe {
        command.pre_exec(before_exec);
    }
    Ok(())
}
