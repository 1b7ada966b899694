//! `run` and `http`: one box.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fleet::fleet_box::FleetBox;
use crate::output::Output;
use crate::report::Listener;
use crate::screen::Screen;
use crate::session::{self, CONTROLS_MAX, Control, Options};
use crate::soundbox::counters::Counters;
use crate::vendor;

/// Runs the box until `stop`.
pub async fn run(
    one: FleetBox,
    options: Options,
    screen: bool,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (controls, taken) = mpsc::channel(CONTROLS_MAX);
    if !screen {
        let listener: Listener = Arc::new(move |report| output.emit(report, || report.text()));
        run_box(one, options, listener, taken, stop).await?;
        return Ok(());
    }
    let screen = Screen::open(controls, stop.clone())?;
    let listener: Listener = Arc::new(screen.listener());
    let result = run_box(one, options, listener, taken, stop.clone()).await;
    stop.cancel();
    screen.close()?;
    result.map(|_| ())
}

/// Runs a box of either kind until `stop`.
pub async fn run_box(
    one: FleetBox,
    options: Options,
    listener: Listener,
    controls: mpsc::Receiver<Control>,
    stop: CancellationToken,
) -> anyhow::Result<Counters> {
    match one {
        FleetBox::Native(credentials, transport) => {
            let options = Options {
                transport,
                ..options
            };
            session::run(credentials, options, listener, controls, stop).await
        }
        FleetBox::Vendor(credentials) => {
            vendor::session::run(credentials, options, listener, controls, stop).await
        }
    }
}
