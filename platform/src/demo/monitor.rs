//! Starts the simulator's processes, feeds their output and the platform's records to the evidence, and prints decided payments.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use nix::sys::signal::Signal;
use platform::app::App;
use platform::config::Config;
use tokio::time::Instant;

use super::boxes;
use super::child::{Child, Program};
use super::children::Children;
use super::earlier_runs::EarlierRuns;
use super::evidence::Evidence;
use super::log_file::LogFile;
use super::output::Output;
use super::setup::Setup;
use super::simulator_event::SimulatorEvent;

/// The simulated bank's delay, long enough for a client with the bank's secret to send the callback itself.
const BANK_DELAY: Duration = Duration::from_secs(20);
/// The most records that are read in one tick.
const LOOKUPS_MAX: usize = 32;
/// Longer than any lookup interval: at the end, all lookups are due.
const LONG: Duration = Duration::from_secs(60);
/// Up to this many boxes have a process each; more share one.
const PROCESSES_MAX: usize = 20;

/// The monitor of a run.
pub(super) struct Monitor {
    setup: Setup,
    pub(super) output: Output,
    pub(super) evidence: Evidence,
    logs: PathBuf,
    boxes: Vec<LogFile>,
    acquirer: LogFile,
    /// The JSON lines of all printed payments, so that a later run does not print them again.
    printed: File,
    boxes_up: usize,
    fleet_up: bool,
}

impl Monitor {
    pub(super) async fn new(
        config: &Config,
        app: &App,
        setup: Setup,
        output: Output,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let (printed, lines) = LogFile::open(logs.join("payments.jsonl"))?;
        let earlier = EarlierRuns::read(&lines);
        let now = Instant::now();
        let mut evidence = Evidence::new(
            setup.demo.devices.iter().map(|device| device.device_id),
            app.context().clock().now(),
            TimeDelta::seconds(i64::from(config.announcements.window_s)),
            earlier.played.clone(),
        );
        let (acquirer, _) = LogFile::open(logs.join("acquirer.jsonl"))?;
        let mut boxes = Vec::new();
        let mut names: Vec<String> = vec!["fleet".to_owned()];
        names.extend(
            setup
                .demo
                .devices
                .iter()
                .map(|device| device.serial_number.clone()),
        );
        for name in names {
            let (file, history) = LogFile::open(logs.join(format!("{name}.jsonl")))?;
            for line in history {
                if let SimulatorEvent::Spoken(spoken) = SimulatorEvent::parse(&line) {
                    if earlier.is_unprinted(spoken.transaction_id) {
                        evidence.unreported(spoken.transaction_id, now);
                    }
                    evidence.spoken_earlier(spoken);
                }
            }
            boxes.push(file);
        }
        for device in &setup.demo.devices {
            for notification in setup.api.notifications(device.device_id).await? {
                evidence.notification_open(&notification, now);
            }
        }
        Ok(Self {
            printed: printed.writer()?,
            setup,
            output,
            evidence,
            logs: logs.to_owned(),
            boxes,
            acquirer,
            boxes_up: 0,
            fleet_up: false,
        })
    }

    /// Whether all boxes have connected and have the time.
    pub(super) fn boxes_up(&self) -> bool {
        self.fleet_up || self.boxes_up >= self.setup.demo.devices.len()
    }

    /// Reads new output and due records, and prints the payments that are decided; at the `end`, all of them.
    pub(super) async fn poll(&mut self, end: bool) -> anyhow::Result<()> {
        // Boxes first, so that an accepted payment that was spoken is decided at once.
        for file in &mut self.boxes {
            let lines = file
                .new_lines()
                .with_context(|| file.path().display().to_string())?;
            for line in lines {
                match SimulatorEvent::parse(&line) {
                    SimulatorEvent::Spoken(spoken) => self.evidence.spoken(spoken, Instant::now()),
                    SimulatorEvent::ClockSet => self.boxes_up += 1,
                    SimulatorEvent::FleetConnected => self.fleet_up = true,
                    _ => {}
                }
            }
        }
        let lines = self
            .acquirer
            .new_lines()
            .with_context(|| self.acquirer.path().display().to_string())?;
        for line in lines {
            match SimulatorEvent::parse(&line) {
                SimulatorEvent::Paid {
                    transaction_id,
                    callback_ms,
                } => self
                    .evidence
                    .accepted(transaction_id, callback_ms, Instant::now()),
                SimulatorEvent::Rejected {
                    partner_reference,
                    problem,
                } => {
                    self.evidence.rejected();
                    let problem = format!("the payment {partner_reference} is refused: {problem}");
                    self.output.notice("problem", &problem);
                }
                SimulatorEvent::Retrying { problem } | SimulatorEvent::NoQr { problem } => {
                    self.output
                        .notice("problem", &format!("acquirer: {problem}"));
                }
                _ => {}
            }
        }
        let now = Instant::now();
        let due = if end {
            self.evidence.due_lookups(usize::MAX, now + LONG)
        } else {
            self.evidence.due_lookups(LOOKUPS_MAX, now)
        };
        for id in due {
            let record = match self.setup.api.transaction(id).await {
                Ok(record) => Some(record),
                Err(error) => {
                    tracing::warn!("cannot read the transaction {id}: {error:#}");
                    None
                }
            };
            self.evidence.record_read(id, record, now);
        }
        for entry in self.evidence.take_decided(end) {
            let line = self.output.payment(&entry);
            writeln!(self.printed, "{line}").context("logs/payments.jsonl")?;
        }
        Ok(())
    }

    fn program(&self, name: &str, simulator: &Path, args: Vec<OsString>, death: Signal) -> Program {
        let mut all = vec![OsString::from("--json")];
        all.extend(args);
        Program {
            name: name.to_owned(),
            executable: simulator.to_owned(),
            args: all,
            output: self.logs.join(format!("{name}.jsonl")),
            errors: self.logs.join(format!("{name}.log")),
            on_parent_death: death,
        }
    }

    pub(super) fn start_boxes(
        &self,
        children: &mut Children,
        simulator: &Path,
    ) -> anyhow::Result<()> {
        let devices = &self.setup.demo.devices;
        let programs: Vec<Program> = if devices.len() > PROCESSES_MAX {
            let links = boxes::running_dir(self.data_dir());
            // Soon back: a demonstration has faults on purpose.
            let mut args = vec!["fleet".into(), "--boxes".into(), links.into()];
            args.extend(["--backoff-max".into(), "8s".into()]);
            vec![self.program("fleet", simulator, args, Signal::SIGTERM)]
        } else {
            devices
                .iter()
                .map(|device| {
                    let dir = device.credentials_dir.clone();
                    let args = vec!["run".into(), "--dir".into(), dir.into()];
                    self.program(&device.serial_number, simulator, args, Signal::SIGTERM)
                })
                .collect()
        };
        for program in programs {
            children
                .boxes
                .push(Child::start(program, &self.setup.lock)?);
        }
        Ok(())
    }

    pub(super) fn start_acquirer(
        &self,
        simulator: &Path,
        every: Duration,
    ) -> anyhow::Result<Child> {
        let demo = &self.setup.demo;
        let data_dir = self.data_dir();
        let args: Vec<OsString> = vec![
            "acquirer".into(),
            "--url".into(),
            demo.api_url.clone().into(),
            "--ca".into(),
            self.setup.ca_file.clone().into(),
            "--partner-id".into(),
            demo.qris_partner.id.into(),
            "--partner-secret-file".into(),
            self.setup.partner_secret_file.clone().into(),
            "--boxes".into(),
            boxes::running_dir(data_dir).into(),
            "--every".into(),
            format!("{}ms", every.as_millis()).into(),
            "--journal".into(),
            data_dir.join("acquirer.json").into(),
        ];
        let program = self.program("acquirer", simulator, args, Signal::SIGKILL);
        Child::start(program, &self.setup.lock)
    }

    pub(super) fn start_bank(&self, simulator: &Path, listen: SocketAddr) -> anyhow::Result<Child> {
        let demo = &self.setup.demo;
        let args: Vec<OsString> = vec![
            "bank".into(),
            "--url".into(),
            demo.api_url.clone().into(),
            "--ca".into(),
            self.setup.ca_file.clone().into(),
            "--partner-id".into(),
            demo.payout_partner.id.into(),
            "--partner-secret-file".into(),
            self.setup.bank_secret_file.clone().into(),
            "--listen".into(),
            listen.to_string().into(),
            "--after".into(),
            format!("{}ms", BANK_DELAY.as_millis()).into(),
            "--journal".into(),
            self.data_dir().join("bank.jsonl").into(),
        ];
        let program = self.program("bank", simulator, args, Signal::SIGKILL);
        Child::start(program, &self.setup.lock)
    }

    fn data_dir(&self) -> &Path {
        self.logs.parent().unwrap_or(Path::new("/"))
    }
}
