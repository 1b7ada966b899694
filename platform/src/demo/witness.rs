//! The witness: reads what boxes and acquirer say, looks up what the platform says, and shows what is decided.

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

use super::before::Before;
use super::book::Book;
use super::boxes;
use super::child::{Child, Program};
use super::children::Children;
use super::line::Line;
use super::log_file::LogFile;
use super::screen::Screen;
use super::stage::Stage;

/// The bank lets others with its secret speak first: a client that plays the bank itself is not interrupted.
const BANK_TAKES: Duration = Duration::from_secs(20);
/// Payments whose record is looked at in one tick.
const LOOKS_MAX: usize = 32;
/// Beyond every look that is planned.
const LONG: Duration = Duration::from_secs(60);
/// Up to so many boxes each have a process; more share one.
const PROCESSES_MAX: usize = 20;

/// Whoever reads what all of them say, and shows what came of it.
pub(super) struct Witness {
    stage: Stage,
    pub(super) screen: Screen,
    pub(super) book: Book,
    logs: PathBuf,
    boxes: Vec<LogFile>,
    acquirer: LogFile,
    /// The lines of all payments that were shown, so that a later start does not show them again.
    shown: File,
    boxes_up: usize,
    fleet_up: bool,
}

impl Witness {
    pub(super) async fn new(
        config: &Config,
        app: &App,
        stage: Stage,
        screen: Screen,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let (shown, lines) = LogFile::open(logs.join("payments.jsonl"))?;
        let before = Before::read(&lines);
        let now = Instant::now();
        let mut book = Book::new(
            stage.handout.devices.iter().map(|device| device.device_id),
            app.context().clock().now(),
            TimeDelta::seconds(i64::from(config.announcements.window_s)),
            before.played.clone(),
        );
        let (acquirer, _) = LogFile::open(logs.join("acquirer.jsonl"))?;
        let mut boxes = Vec::new();
        let mut names: Vec<String> = vec!["fleet".to_owned()];
        names.extend(
            stage
                .handout
                .devices
                .iter()
                .map(|device| device.serial_number.clone()),
        );
        for name in names {
            let (file, history) = LogFile::open(logs.join(format!("{name}.jsonl")))?;
            for line in history {
                if let Line::Spoken(spoken) = Line::parse(&line) {
                    if before.owes(spoken.transaction_id) {
                        book.told_late(spoken.transaction_id, now);
                    }
                    book.heard_before(spoken);
                }
            }
            boxes.push(file);
        }
        for device in &stage.handout.devices {
            for announcement in stage.api.notifications(device.device_id).await? {
                book.owed(&announcement, now);
            }
        }
        Ok(Self {
            shown: shown.writer()?,
            stage,
            screen,
            book,
            logs: logs.to_owned(),
            boxes,
            acquirer,
            boxes_up: 0,
            fleet_up: false,
        })
    }

    /// Whether all boxes have connected and know the time.
    pub(super) fn boxes_up(&self) -> bool {
        self.fleet_up || self.boxes_up >= self.stage.handout.devices.len()
    }

    /// Reads what was said since the last time, looks things up, and shows what is decided; at the `end`, everything.
    pub(super) async fn look(&mut self, end: bool) -> anyhow::Result<()> {
        // Boxes first: an accepted payment whose sentence is known is decided at once.
        for file in &mut self.boxes {
            let lines = file
                .new_lines()
                .with_context(|| file.path().display().to_string())?;
            for line in lines {
                match Line::parse(&line) {
                    Line::Spoken(spoken) => self.book.heard(spoken, Instant::now()),
                    Line::ClockSet => self.boxes_up += 1,
                    Line::FleetConnected => self.fleet_up = true,
                    _ => {}
                }
            }
        }
        let lines = self
            .acquirer
            .new_lines()
            .with_context(|| self.acquirer.path().display().to_string())?;
        for line in lines {
            match Line::parse(&line) {
                Line::Paid {
                    transaction_id,
                    callback_ms,
                } => self
                    .book
                    .accepted(transaction_id, callback_ms, Instant::now()),
                Line::Rejected {
                    partner_reference,
                    problem,
                } => {
                    self.book.rejected();
                    let problem = format!("the payment {partner_reference} is refused: {problem}");
                    self.screen.notice("problem", &problem);
                }
                Line::Retrying { problem } | Line::NoQr { problem } => {
                    self.screen
                        .notice("problem", &format!("acquirer: {problem}"));
                }
                _ => {}
            }
        }
        let now = Instant::now();
        let due = if end {
            self.book.to_look_at(usize::MAX, now + LONG)
        } else {
            self.book.to_look_at(LOOKS_MAX, now)
        };
        for id in due {
            let record = match self.stage.api.transaction(id).await {
                Ok(record) => Some(record),
                Err(error) => {
                    tracing::warn!("cannot look up {id}: {error:#}");
                    None
                }
            };
            self.book.learned(id, record, now);
        }
        for entry in self.book.take_decided(end) {
            let line = self.screen.payment(&entry);
            writeln!(self.shown, "{line}").context("logs/payments.jsonl")?;
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
        let devices = &self.stage.handout.devices;
        let programs: Vec<Program> = if devices.len() > PROCESSES_MAX {
            let links = boxes::running_dir(self.data_dir());
            let args = vec!["fleet".into(), "--boxes".into(), links.into()];
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
                .push(Child::start(program, &self.stage.lock)?);
        }
        Ok(())
    }

    pub(super) fn start_acquirer(
        &self,
        simulator: &Path,
        every: Duration,
    ) -> anyhow::Result<Child> {
        let handout = &self.stage.handout;
        let data_dir = self.data_dir();
        let args: Vec<OsString> = vec![
            "acquirer".into(),
            "--url".into(),
            handout.api_url.clone().into(),
            "--ca".into(),
            self.stage.ca_file.clone().into(),
            "--partner-id".into(),
            handout.qris_partner.id.into(),
            "--partner-secret-file".into(),
            self.stage.partner_secret_file.clone().into(),
            "--boxes".into(),
            boxes::running_dir(data_dir).into(),
            "--every".into(),
            format!("{}ms", every.as_millis()).into(),
            "--journal".into(),
            data_dir.join("acquirer.json").into(),
        ];
        let program = self.program("acquirer", simulator, args, Signal::SIGKILL);
        Child::start(program, &self.stage.lock)
    }

    pub(super) fn start_bank(&self, simulator: &Path, listen: SocketAddr) -> anyhow::Result<Child> {
        let handout = &self.stage.handout;
        let args: Vec<OsString> = vec![
            "bank".into(),
            "--url".into(),
            handout.api_url.clone().into(),
            "--ca".into(),
            self.stage.ca_file.clone().into(),
            "--partner-id".into(),
            handout.payout_partner.id.into(),
            "--partner-secret-file".into(),
            self.stage.bank_secret_file.clone().into(),
            "--listen".into(),
            listen.to_string().into(),
            "--after".into(),
            format!("{}ms", BANK_TAKES.as_millis()).into(),
            "--journal".into(),
            self.data_dir().join("bank.jsonl").into(),
        ];
        let program = self.program("bank", simulator, args, Signal::SIGKILL);
        Child::start(program, &self.stage.lock)
    }

    fn data_dir(&self) -> &Path {
        self.logs.parent().unwrap_or(Path::new("/"))
    }
}
