//! `run`: one box, until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::output::Output;
use crate::report::Listener;
use crate::screen::Screen;
use crate::session::{self, Options};

/// Runs the box in `dir`, printing what happens to it.
///
/// # Errors
/// Credentials or a journal that cannot be used.
pub async fn run(
    dir: &Path,
    options: Options,
    screen: bool,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let credentials = Credentials::load(dir)?;
    let listener: Listener = if screen {
        let screen = Screen::default();
        Arc::new(move |report| screen.show(report))
    } else {
        Arc::new(move |report| output.say(report, || report.sentence()))
    };
    session::run(credentials, options, listener, stop).await?;
    Ok(())
}
