//! `fleet`: many boxes in one process.
//!
//! Each box has its own key, certificate and journal. Only the journals are not flushed to the disk line by line: the
//! server often uses the same disk, and a fleet measures the server.

pub mod box_tasks;
pub mod fleet_box;
pub mod registrar;
mod tally;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::session::Options;
use box_tasks::BoxTasks;
use fleet_box::FleetBox;
use tally::{OutputEvent, Tally, listener};

/// Runs the boxes until `stop`, starting `connect_rate` of them per second.
pub async fn run(
    boxes: Vec<FleetBox>,
    options: Options,
    connect_rate: u32,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let count = boxes.len();
    anyhow::ensure!(count > 0, "the fleet has no boxes");
    let mut tasks = BoxTasks::new(boxes, options, stop.clone());
    let started = Instant::now();
    let tally = Arc::new(Mutex::new(Tally::new(started)));
    let bar = progress(output, count, "online");
    let mut starts = interval(Duration::from_secs(1) / connect_rate.max(1));
    starts.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut counts = interval(Duration::from_secs(1));
    counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all_connected = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = starts.tick(), if tasks.waiting() > 0 => {
                tasks.start_next(listener(Arc::clone(&tally), output));
            }
            true = tasks.one_ended(), if tasks.running() > 0 => {
                if tasks.running() == 0 && tasks.waiting() == 0 {
                    break;
                }
            }
            _ = counts.tick() => {
                let Ok(tally) = tally.lock() else { break };
                bar.set_position(tally.online);
                bar.set_message(tally.sentence(count));
                if !all_connected && tally.ready >= count {
                    all_connected = true;
                    let took = tally.ready_at - started;
                    let connect_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    let event = OutputEvent::FleetConnected { boxes: count, connect_ms };
                    bar.suspend(|| output.emit(&event, || {
                        format!("all {count} boxes are connected and have the time after {connect_ms} ms")
                    }));
                }
                if output.is_json() {
                    output.emit(&tally.event(count), String::new);
                }
            }
        }
    }
    let ended = tasks.all_ended().await;
    bar.finish_and_clear();
    let Ok(tally) = tally.lock() else {
        anyhow::bail!("a box panicked while it reported");
    };
    output.emit(&tally.report(count, ended.counters), || {
        tally.summary(count, ended.counters)
    });
    ended.check()
}

/// A progress bar; hidden with JSON output.
pub fn progress(output: Output, count: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64).with_prefix(what.to_owned());
    if output.is_json() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}
