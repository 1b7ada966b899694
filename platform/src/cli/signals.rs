//! SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once. SIGHUP: reload.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells report for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// SIGHUP, from now on a message instead of the end.
///
/// # Errors
/// A system that does not let us listen.
pub(super) fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for signals")
}

/// A token that the first signal cancels.
///
/// # Errors
/// A system that does not let us listen.
pub(super) fn stop_token() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                token.cancel();
            }
        }
        // The kernel signals our child processes when we end.
        eprintln!("stopped at once, by a second signal");
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}
