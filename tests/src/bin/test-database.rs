//! Runs the throw-away Postgres server that all tests share.
//!
//! `run` is what `./test.sh` uses: the server lives exactly as long as the command. `keep` is
//! started by test processes that find no server; see `tests::database`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::database::{SERVER_URL, keeper};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
enum Command {
    /// Run a command with a fresh server, whose URL it finds in TEST_DATABASE_URL.
    Run {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Keep a server in this directory until no test process needs it.
    Keep {
        /// The keeper's directory.
        dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Run { command } => run(command).await,
        Command::Keep { dir } => {
            keeper::keep(&dir).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run(command: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let temporary_dir = keeper::temporary_dir();
    let dir = tempfile::Builder::new()
        .prefix("soundbox-tests")
        .tempdir_in(&temporary_dir)?;
    let server = keeper::start(&dir.path().join("data")).await?;
    let status = with_server(&command, server.database_url(), &temporary_dir).await;
    // In every case, so that no server is left running.
    server.stop().await?;
    dir.close()?;
    let status = status?;
    let code = status
        .code()
        // As a shell reports it.
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn with_server(
    command: &[OsString],
    url: &str,
    temporary_dir: &Path,
) -> anyhow::Result<ExitStatus> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Ctrl-C reaches the command too; it ends by it, and we only have to wait for that.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env(SERVER_URL, url)
        .env("TMPDIR", temporary_dir)
        // Programs that tests start must not use the developer's own database.
        .env_remove("DATABASE_URL")
        .spawn()
        .with_context(|| program.display().to_string())?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                // Not reaped yet, or the branch above would have been taken.
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
                }
            }
        }
    }
}
