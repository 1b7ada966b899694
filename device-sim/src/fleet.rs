//! `fleet`: many boxes in one process.
//!
//! The boxes are honest ones, each with its own key, certificate and journal. Only their journals are not flushed to
//! the disk line by line: that disk is often the server's too, and a fleet measures the server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::message::AckStatus;
use wire::{DeviceId, Encoding, TerminalId};

use crate::api::Api;
use crate::clock;
use crate::credentials::{self, Credentials};
use crate::output::Output;
use crate::provision::{self, Activation};
use crate::report::{Event, Listener, Report};
use crate::session::{self, Options};
use crate::soundbox::counters::Counters;

/// Activations at a time.
const ACTIVATIONS_AT_ONCE: usize = 8;

/// The longest latency that is told apart from longer ones, in milliseconds.
const LATENCY_MAX_MS: u64 = 600_000;

const REGISTRATION_FILE: &str = "registration.json";

/// How missing boxes are made. It has no `Debug`: it holds a token.
pub struct Registrar {
    /// The server.
    pub api: Api,
    /// What the boxes will trust.
    pub ca_pem: String,
    /// An administrator's.
    pub admin_token: String,
    /// Where the boxes are bound, in turn; none leaves them unbound.
    pub terminals: Vec<TerminalId>,
    /// How the boxes speak.
    pub encoding: Encoding,
    /// What they say they run.
    pub firmware_version: String,
}

/// A box that is registered and not yet activated, remembered so that a new start finishes it.
#[derive(Serialize, Deserialize)]
struct Registration {
    serial_number: String,
    activation_code: String,
    terminal_id: Option<TerminalId>,
}

/// The credentials of `count` boxes in `dir`, made where they are missing.
///
/// # Errors
/// A box that is missing when there is no registrar, or cannot be made.
pub async fn prepare(
    dir: &Path,
    count: usize,
    registrar: Option<&Registrar>,
    output: Output,
) -> anyhow::Result<Vec<Credentials>> {
    let bar = progress(output, count, "provisioning");
    let boxes =
        stream::iter((0..count).map(|number| (number, dir.join(format!("box-{number:05}")))))
            .map(|(number, dir)| {
                let bar = bar.clone();
                async move {
                    let credentials = if Credentials::exist(&dir) {
                        Credentials::load(&dir)?
                    } else {
                        let registrar = registrar.with_context(|| {
                    format!(
                        "{} is not provisioned; give --url, --ca and --admin-token to make it",
                        dir.display()
                    )
                })?;
                        registrar.make(number, &dir).await?
                    };
                    bar.inc(1);
                    anyhow::Ok(credentials)
                }
            })
            .buffered(ACTIVATIONS_AT_ONCE)
            .try_collect()
            .await?;
    bar.finish_and_clear();
    Ok(boxes)
}

impl Registrar {
    async fn make(&self, number: usize, dir: &Path) -> anyhow::Result<Credentials> {
        credentials::make_dir(dir)?;
        let file: PathBuf = dir.join(REGISTRATION_FILE);
        let registration = match std::fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| file.display().to_string())?
            }
            Err(_) => {
                let registration = self.register(number).await?;
                credentials::write(
                    dir,
                    REGISTRATION_FILE,
                    &serde_json::to_vec(&registration)?,
                    0o600,
                )?;
                registration
            }
        };
        let activation = Activation {
            serial_number: registration.serial_number,
            activation_code: registration.activation_code,
            payload_encoding: self.encoding,
            firmware_version: self.firmware_version.clone(),
            terminal_id: registration.terminal_id,
        };
        let (credentials, _) =
            provision::activate(&self.api, &self.ca_pem, dir, &activation).await?;
        std::fs::remove_file(&file)?;
        Ok(credentials)
    }

    async fn register(&self, number: usize) -> anyhow::Result<Registration> {
        let token = Some(self.admin_token.as_str());
        let serial_number = format!("SIM-{}", clock::random_uuid().simple());
        let key = clock::random_uuid().to_string();
        let body = json!({
            "serial_number": serial_number,
            "model": "device-sim",
            "capabilities": ["speaker", "display", "dynamic_qr"],
            "communication_mode": "mqtt",
        });
        let answer = self
            .api
            .post("/admin/devices", token, &[("idempotency-key", &key)], &body)
            .await?;
        let data = &answer["data"];
        let device_id: DeviceId = data["id"]
            .as_str()
            .or_else(|| data["device"]["id"].as_str())
            .context("the new device has no id")?
            .parse()?;
        let activation_code = data["activation_code"]
            .as_str()
            .context("the new device has no activation_code")?
            .to_owned();
        let terminal_id = match self.terminals.len() {
            0 => None,
            count => self.terminals.get(number % count).copied(),
        };
        if let Some(terminal_id) = terminal_id {
            let path = format!("/admin/devices/{device_id}/bind");
            let key = clock::random_uuid().to_string();
            let body = json!({ "terminal_id": terminal_id });
            self.api
                .post(&path, token, &[("idempotency-key", &key)], &body)
                .await?;
        }
        Ok(Registration {
            serial_number,
            activation_code,
            terminal_id,
        })
    }
}

/// What the whole fleet has seen.
struct Tally {
    connects: u64,
    disconnects: u64,
    online: u64,
    /// Boxes that know the time, and when the last of them came to know it.
    ready: usize,
    ready_at: Instant,
    received: u64,
    spoken: u64,
    failed: u64,
    refused: u64,
    /// From `sent_at` to received, in milliseconds.
    latency: Histogram<u64>,
}

/// What the tally knows of one box.
#[derive(Default)]
struct BoxState {
    connected: bool,
    ready: bool,
}

/// One line of the tally, with `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    FleetConnected {
        boxes: usize,
        connect_ms: u64,
    },
    Fleet {
        boxes: usize,
        online: u64,
        received: u64,
        spoken: u64,
        failed: u64,
        refused: u64,
    },
    FleetReport {
        boxes: usize,
        connects: u64,
        disconnects: u64,
        sent_to_received: Latency,
        counters: Counters,
    },
}

/// Latency by the boxes' trusted clocks, from the platform's `sent_at` to the box. A trusted clock is late by what its
/// answer took on the way, so these figures are too low by about that much.
#[derive(Serialize)]
struct Latency {
    count: u64,
    p50_ms: u64,
    p90_ms: u64,
    p99_ms: u64,
    max_ms: u64,
}

impl Tally {
    fn take(&mut self, report: &Report, state: &mut BoxState) {
        let connected = &mut state.connected;
        match &report.event {
            Event::Connected { .. } => {
                self.connects += 1;
                self.online += u64::from(!*connected);
                *connected = true;
            }
            Event::Disconnected { .. } | Event::Stopped { .. } => {
                if *connected {
                    self.disconnects +=
                        u64::from(matches!(report.event, Event::Disconnected { .. }));
                    self.online -= 1;
                }
                *connected = false;
            }
            Event::ClockSet if !state.ready => {
                state.ready = true;
                self.ready += 1;
                self.ready_at = Instant::now();
            }
            Event::Received {
                sent_to_received_ms,
                ..
            } => {
                self.received += 1;
                if let Some(ms) = sent_to_received_ms {
                    self.latency
                        .saturating_record(u64::try_from(*ms).unwrap_or(0).min(LATENCY_MAX_MS));
                }
            }
            Event::Spoken { .. } => self.spoken += 1,
            Event::Acked {
                status: AckStatus::Failed | AckStatus::Stale,
                ..
            } => self.failed += 1,
            Event::Refused { .. } => self.refused += 1,
            _ => {}
        }
    }

    fn latency(&self) -> Latency {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Latency {
            count: self.latency.len(),
            p50_ms: at(0.50),
            p90_ms: at(0.90),
            p99_ms: at(0.99),
            max_ms: self.latency.max(),
        }
    }
}

/// Runs the boxes until `stop`, connecting `connect_rate` of them a second.
///
/// # Errors
/// When any box ended with an error.
pub async fn run(
    boxes: Vec<Credentials>,
    options: Options,
    connect_rate: u32,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let count = boxes.len();
    anyhow::ensure!(count > 0, "there is no box");
    raise_file_limit();
    let started = Instant::now();
    let tally = Arc::new(Mutex::new(Tally {
        connects: 0,
        disconnects: 0,
        online: 0,
        ready: 0,
        ready_at: started,
        received: 0,
        spoken: 0,
        failed: 0,
        refused: 0,
        latency: Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3)?,
    }));
    let bar = progress(output, count, "online");
    let mut waiting = boxes.into_iter();
    let mut sessions = JoinSet::new();
    let mut starts = interval(Duration::from_secs(1) / connect_rate.max(1));
    starts.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut counts = interval(Duration::from_secs(1));
    counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counters = Counters::default();
    let mut problems = Vec::new();
    let mut all_connected = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = starts.tick(), if waiting.len() > 0 => if let Some(credentials) = waiting.next() {
                let listener = listener(Arc::clone(&tally), output);
                sessions.spawn(session::run(credentials, options.clone(), listener, stop.clone()));
            },
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                take_end(ended, &mut counters, &mut problems);
                if sessions.is_empty() && waiting.len() == 0 {
                    break;
                }
            }
            _ = counts.tick() => {
                let line = {
                    let Ok(tally) = tally.lock() else { break };
                    bar.set_position(tally.online);
                    bar.set_message(format!(
                        "received {}  spoken {}  failed {}  refused {}  reconnects {}",
                        tally.received, tally.spoken, tally.failed, tally.refused,
                        tally.connects.saturating_sub(count as u64),
                    ));
                    if !all_connected && tally.ready >= count {
                        all_connected = true;
                        let connect_ms = u64::try_from((tally.ready_at - started).as_millis()).unwrap_or(u64::MAX);
                        output.say(&Line::FleetConnected { boxes: count, connect_ms }, || {
                            format!("all {count} boxes are connected and know the time, after {connect_ms} ms")
                        });
                    }
                    Line::Fleet {
                        boxes: count,
                        online: tally.online,
                        received: tally.received,
                        spoken: tally.spoken,
                        failed: tally.failed,
                        refused: tally.refused,
                    }
                };
                if output.is_json() {
                    output.say(&line, String::new);
                }
            }
        }
    }
    while let Some(ended) = sessions.join_next().await {
        take_end(ended, &mut counters, &mut problems);
    }
    bar.finish_and_clear();
    let Ok(tally) = tally.lock() else {
        anyhow::bail!("a box panicked while it reported");
    };
    let latency = tally.latency();
    let people = format!(
        "{count} boxes, {} connects, {} disconnects\n\
         received {}, spoken {}, duplicates {}, stale {}, failed {}, refused {}, sequence gaps {}\n\
         sent_at to received, by the boxes' trusted clocks, {} announcements: p50 {} ms, p90 {} ms, p99 {} ms, max {} ms",
        tally.connects,
        tally.disconnects,
        counters.received,
        counters.spoken,
        counters.duplicates,
        counters.stale,
        counters.failed,
        counters.refused,
        counters.gaps,
        latency.count,
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.max_ms,
    );
    let line = Line::FleetReport {
        boxes: count,
        connects: tally.connects,
        disconnects: tally.disconnects,
        sent_to_received: latency,
        counters,
    };
    output.say(&line, || people);
    anyhow::ensure!(
        problems.is_empty(),
        "{} boxes ended with an error, the first: {}",
        problems.len(),
        problems[0]
    );
    Ok(())
}

/// Every box holds a socket and a journal: takes as many open files as this process may have.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

fn listener(tally: Arc<Mutex<Tally>>, output: Output) -> Listener {
    let state = Mutex::new(BoxState::default());
    Arc::new(move |report: &Report| {
        if let (Ok(mut tally), Ok(mut state)) = (tally.lock(), state.lock()) {
            tally.take(report, &mut state);
        }
        if output.is_json() && matches!(report.event, Event::Spoken { .. }) {
            output.say(report, String::new);
        }
    })
}

fn take_end(
    ended: Result<anyhow::Result<Counters>, tokio::task::JoinError>,
    counters: &mut Counters,
    problems: &mut Vec<String>,
) {
    match ended {
        Ok(Ok(own)) => *counters += own,
        Ok(Err(error)) => problems.push(format!("{error:#}")),
        Err(error) => problems.push(error.to_string()),
    }
}

fn progress(output: Output, count: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64).with_prefix(what.to_owned());
    if output.is_json() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}
