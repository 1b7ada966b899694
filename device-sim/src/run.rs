//! `run` and `http`: one box.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::output::Output;
use crate::report::Listener;
use crate::screen::Screen;
use crate::session::{self, CONTROLS_MAX, Options};

/// Runs the box in `dir` until `stop`.
pub async fn run(
    dir: &Path,
    options: Options,
    screen: bool,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let credentials = Credentials::load(dir)?;
    let (controls, taken) = mpsc::channel(CONTROLS_MAX);
    if !screen {
        let listener: Listener = Arc::new(move |report| output.emit(report, || report.text()));
        session::run(credentials, options, listener, taken, stop).await?;
        return Ok(());
    }
    let screen = Screen::open(controls, stop.clone())?;
    let listener: Listener = Arc::new(screen.listener());
    let result = session::run(credentials, options, listener, taken, stop.clone()).await;
    stop.cancel();
    screen.close()?;
    result.map(|_| ())
}
