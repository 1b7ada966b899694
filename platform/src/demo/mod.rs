//! The demonstration: a platform, boxes that hear it, an acquirer that pays, and a witness.
//!
//! Nothing is faked: the boxes are `device-sim` processes that provision themselves through the public API, the
//! acquirer signs and posts callbacks, and what is shown here is put together from what each of them says
//! ([`book`]) and from the public API. Only tokens are made from within, because the first one has to be.
//!
//! Ending goes against the stream: the acquirer first, then whatever it paid is heard out, then the boxes, then the
//! platform. When this process is killed the kernel tells the children: boxes end as boxes do when they are switched
//! off properly (they are other machines, after all), the acquirer at once, because it remembers what it owes.

mod api;
mod book;
mod boxes;
mod child;
mod handout;
mod line;
mod log_file;
mod partner;
mod private_file;
mod rupiah;
mod screen;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use domain::role::Role;
use nix::sys::signal::Signal;
use platform::app::{App, Options};
use platform::config::{Config, Switch};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::TransactionId;

use self::api::{Api, Seeded};
use self::book::Book;
use self::child::{Child, Program};
use self::handout::{Device, Earlier, Handout, Merchant};
use self::line::Line;
use self::log_file::LogFile;
use self::partner::Partners;
use self::screen::Screen;

/// How often the simulator's files are read.
const TICK: Duration = Duration::from_millis(20);
/// Payments whose record is looked at in one tick.
const LOOKS_MAX: usize = 32;
/// The acquirer waits for boxes that do not come no longer than this.
const BOXES_UP_WITHIN: Duration = Duration::from_secs(10);
/// The acquirer finishes the payment in hand for up to ten seconds.
const ACQUIRER_STOPS_WITHIN: Duration = Duration::from_secs(12);
/// An announcement that got lost is sent again after 2, 4 and 8 seconds.
const ACKS_WITHIN: Duration = Duration::from_secs(30);
/// The same when a person waits for the end.
const ACKS_WITHIN_WHEN_ASKED: Duration = Duration::from_secs(5);
const BOX_STOPS_WITHIN: Duration = Duration::from_secs(5);
/// Beyond every look that is planned.
const LONG: Duration = Duration::from_secs(60);
/// Up to so many boxes each have a process; more share one.
const PROCESSES_MAX: usize = 20;

/// What is wanted.
pub(crate) struct Plan {
    /// How many boxes.
    pub(crate) boxes: u32,
    /// The time between payments; none without an acquirer.
    pub(crate) pay_every: Option<Duration>,
    /// When to end.
    pub(crate) end_after: Option<Duration>,
    /// JSON lines instead of sentences.
    pub(crate) json: bool,
}

/// Runs the demonstration until it is told to stop, or its time is over.
///
/// # Errors
/// Whatever keeps the platform from starting or the boxes from being made.
pub(crate) async fn run(
    mut config: Config,
    plan: &Plan,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    anyhow::ensure!(
        config.http.tls == Switch::On,
        "configuration: http.tls must be \"on\": boxes of the demonstration speak HTTPS"
    );
    let simulator = match plan.boxes {
        0 => None,
        _ => Some(child::simulator()?),
    };
    let partners = partner::configure(&mut config)?;
    let options = Options {
        make_ca: true,
        ..Options::default()
    };
    let app = tokio::select! {
        app = App::start(&config, options) => app?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let ended = tokio::select! {
        ended = play(&config, plan, &app, simulator.as_deref(), partners, started, &stop) => ended,
        () = app.database_lost() => Err(anyhow::anyhow!(
            "the embedded Postgres has ended by itself; see {}/postgres/server.log",
            config.data_dir().display()
        )),
    };
    // Whatever happened, the platform is stopped; the first problem is the one to tell.
    let stopped = app.stop().await;
    let clean = ended?;
    stopped?;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The demonstration on a running platform. Gives whether everything went as promised.
async fn play(
    config: &Config,
    plan: &Plan,
    app: &App,
    simulator: Option<&Path>,
    partners: Partners,
    started: Instant,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let data_dir = config.data_dir();
    let logs = data_dir.join("logs");
    private_file::make_dir(&logs)?;
    let setting_up = set_up(config, plan, app, simulator, partners);
    let stage = tokio::select! {
        stage = setting_up => stage?,
        () = stop.cancelled() => return Ok(true),
    };
    let screen = Screen::new(
        plan.json,
        stage
            .seeded
            .merchants
            .iter()
            .map(|merchant| (merchant.merchant_id, merchant.brand_name.clone()))
            .collect(),
    );
    stage.handout.write(&data_dir)?;
    screen.ready(&stage.handout, &handout::path(&data_dir), started.elapsed())?;
    let ready = Instant::now();
    let mut witness = Witness::new(config, app, stage, screen, &logs).await?;
    let mut children = Children::default();
    if let Some(simulator) = simulator {
        witness.start_boxes(&mut children, simulator)?;
    }
    let acquirer = plan.pay_every.zip(simulator);
    let end = plan.end_after.map(|after| ready + after);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asked = loop {
        tokio::select! {
            () = stop.cancelled() => break true,
            _ = ticks.tick() => {}
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break false;
        }
        witness.look(false).await?;
        children.tend(&witness.screen);
        if let Some((every, simulator)) = acquirer
            && children.acquirer.is_none()
            && (witness.boxes_up() || ready.elapsed() >= BOXES_UP_WITHIN)
        {
            children.acquirer = Some(witness.start_acquirer(simulator, every)?);
        }
    };

    if let Some(acquirer) = children.acquirer.take() {
        acquirer.stop(ACQUIRER_STOPS_WITHIN).await;
    }
    let patience = if asked {
        ACKS_WITHIN_WHEN_ASKED
    } else {
        ACKS_WITHIN
    };
    let deadline = Instant::now() + patience;
    witness.look(false).await?;
    while witness.book.is_waiting() && Instant::now() < deadline {
        ticks.tick().await;
        witness.look(false).await?;
        children.tend(&witness.screen);
    }
    children.stop_boxes().await;
    // Without a time to be over, what is not heard yet is not lost: the next start announces it.
    witness.look(plan.end_after.is_some()).await?;
    let sum = witness.book.summary();
    witness.screen.summary(&sum);
    let Some(length) = plan.end_after else {
        return Ok(true);
    };
    let paid_in_vain = match acquirer {
        Some((every, _)) => sum.payments == 0 && !asked && length >= every * 2,
        None => false,
    };
    if paid_in_vain {
        witness.screen.notice(
            "problem",
            &format!("no payment was made; see {}", logs.display()),
        );
    }
    Ok(sum.is_clean() && !paid_in_vain)
}

/// Everything that is there once it is ready.
struct Stage {
    handout: Handout,
    seeded: Seeded,
    api: Api,
    ca_file: PathBuf,
    partner_secret_file: PathBuf,
    /// Held while boxes may run.
    lock: File,
}

async fn set_up(
    config: &Config,
    plan: &Plan,
    app: &App,
    simulator: Option<&Path>,
    partners: Partners,
) -> anyhow::Result<Stage> {
    let data_dir = config.data_dir();
    let ca_file = data_dir.join("ca.pem");
    private_file::write(&ca_file, app.root_pem().as_bytes(), 0o644)?;
    let host = |address: SocketAddr| reachable(address, config);
    let api_url = format!(
        "https://{}",
        with_port(&host(app.http_addr()), app.http_addr())
    );
    let mqtt_host = host(app.mqtt_addr());
    let metrics_host = match app.metrics_addr().ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    };

    let earlier = Earlier::read(&data_dir);
    let context = app.context();
    let mut made = BTreeMap::new();
    for role in Role::ALL
        .iter()
        .copied()
        .filter(|role| !role.is_of_merchant())
    {
        let token = tokens::ensure(context, &earlier.tokens, role, None).await?;
        made.insert(role.as_str().to_owned(), token);
    }
    let admin = made.get(Role::Admin.as_str()).cloned().unwrap_or_default();
    let api = Api::new(&api_url, app.root_pem(), &admin)?;
    let seeded = api.seed(plan.boxes).await?;
    let merchant_id = seeded
        .merchants
        .first()
        .map(|merchant| merchant.merchant_id);
    for role in Role::ALL
        .iter()
        .copied()
        .filter(|role| role.is_of_merchant())
    {
        let token = tokens::ensure(context, &earlier.tokens, role, merchant_id).await?;
        made.insert(role.as_str().to_owned(), token);
    }

    let lock = boxes::lock(&data_dir).await?;
    let server = boxes::Server {
        api_url: &api_url,
        mqtt_host: &mqtt_host,
        mqtt_port: app.mqtt_addr().port(),
        ca_file: &ca_file,
        ca_pem: app.root_pem(),
    };
    let dirs = match simulator {
        Some(simulator) => {
            boxes::prepare(&data_dir, simulator, &api, &server, &seeded.devices).await?
        }
        None => Vec::new(),
    };
    let handout = Handout {
        api_url: api_url.clone(),
        mqtt_host: mqtt_host.clone(),
        mqtt_port: app.mqtt_addr().port(),
        metrics_url: format!("http://{}", with_port(&metrics_host, app.metrics_addr())),
        ca_file: ca_file.clone(),
        database_url: app
            .embedded_database_url()
            .unwrap_or(&config.database.url)
            .to_owned(),
        tokens: made,
        merchants: seeded
            .merchants
            .iter()
            .map(|merchant| Merchant {
                merchant_id: merchant.merchant_id,
                outlet_ids: merchant.outlet_ids.clone(),
                terminal_ids: merchant.terminal_ids.clone(),
            })
            .collect(),
        devices: seeded
            .devices
            .iter()
            .zip(dirs)
            .map(|(device, dir)| Device {
                device_id: device.device_id,
                serial_number: device.serial_number.clone(),
                terminal_id: device.terminal_id,
                credentials_dir: dir,
            })
            .collect(),
        qris_partner: partners.qris,
        payout_partner: partners.payout,
    };
    let partner_secret_file = partner::secret_file(config, handout.qris_partner.id)?;
    Ok(Stage {
        handout,
        seeded,
        api,
        ca_file,
        partner_secret_file,
        lock,
    })
}

/// How a client on this machine names an address: as it is, if the server's certificate names it too.
fn reachable(address: SocketAddr, config: &Config) -> String {
    let (names, addresses) = config.server_names();
    if addresses.contains(&address.ip()) {
        return address.ip().to_string();
    }
    names
        .into_iter()
        .next()
        .unwrap_or_else(|| address.ip().to_string())
}

fn with_port(host: &str, address: SocketAddr) -> String {
    if host.contains(':') {
        format!("[{host}]:{}", address.port())
    } else {
        format!("{host}:{}", address.port())
    }
}

/// The simulator's processes.
#[derive(Default)]
struct Children {
    boxes: Vec<Child>,
    acquirer: Option<Child>,
}

impl Children {
    fn tend(&mut self, screen: &Screen) {
        for child in self.boxes.iter_mut().chain(&mut self.acquirer) {
            if let Some(problem) = child.tend() {
                screen.notice("problem", &problem);
            }
        }
    }

    async fn stop_boxes(&mut self) {
        let stops = self
            .boxes
            .drain(..)
            .map(|child| child.stop(BOX_STOPS_WITHIN));
        futures_util::future::join_all(stops).await;
    }
}

/// Whoever reads what all of them say, and shows what came of it.
struct Witness {
    stage: Stage,
    screen: Screen,
    book: Book,
    logs: PathBuf,
    boxes: Vec<LogFile>,
    acquirer: LogFile,
    /// The lines of all payments that were shown, so that a later start does not show them again.
    shown: File,
    boxes_up: usize,
    fleet_up: bool,
}

impl Witness {
    async fn new(
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
    fn boxes_up(&self) -> bool {
        self.fleet_up || self.boxes_up >= self.stage.handout.devices.len()
    }

    /// Reads what was said since the last time, looks things up, and shows what is decided; at the `end`, everything.
    async fn look(&mut self, end: bool) -> anyhow::Result<()> {
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

    fn start_boxes(&self, children: &mut Children, simulator: &Path) -> anyhow::Result<()> {
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

    fn start_acquirer(&self, simulator: &Path, every: Duration) -> anyhow::Result<Child> {
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

    fn data_dir(&self) -> &Path {
        self.logs.parent().unwrap_or(Path::new("/"))
    }
}

/// What earlier starts have shown, as far as their lines are kept.
#[derive(Default)]
struct Before {
    /// Ids rise with time: what is older than the first may have been shown in a line that is not kept.
    shown: BTreeSet<TransactionId>,
    played: HashSet<TransactionId>,
}

impl Before {
    fn read(lines: &[Vec<u8>]) -> Self {
        #[derive(Deserialize)]
        struct Shown {
            transaction_id: TransactionId,
            status: String,
        }
        let mut before = Self::default();
        for line in lines {
            let Ok(shown) = serde_json::from_slice::<Shown>(line) else {
                continue;
            };
            before.shown.insert(shown.transaction_id);
            if shown.status == "played" {
                before.played.insert(shown.transaction_id);
            }
        }
        before
    }

    /// Whether a payment that was said was not shown, because the start that heard it was killed.
    fn owes(&self, id: TransactionId) -> bool {
        !self.shown.contains(&id) && self.shown.first().is_none_or(|oldest| id > *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TransactionId {
        TransactionId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_start_owes_the_lines_that_the_one_before_had_no_time_for() {
        assert!(
            Before::read(&[]).owes(id(1)),
            "killed before its first line"
        );
        let line = |number, status| {
            format!(
                r#"{{"event":"payment","transaction_id":"{}","status":"{status}"}}"#,
                id(number)
            )
            .into_bytes()
        };
        let before = Before::read(&[line(5, "played"), line(7, "lost"), b"{\"torn".to_vec()]);
        assert!(before.owes(id(6)) && before.owes(id(8)));
        assert!(!before.owes(id(5)) && !before.owes(id(7)), "shown");
        assert!(!before.owes(id(4)), "its line may have been put aside");
        assert!(before.played.contains(&id(5)) && !before.played.contains(&id(7)));
    }

    #[test]
    fn clients_are_told_a_name_that_the_certificate_has() {
        let config = Config::demo().unwrap();
        let named = |address: &str| reachable(address.parse().unwrap(), &config);
        assert_eq!(named("127.0.0.1:1"), "127.0.0.1");
        assert_eq!(named("0.0.0.0:1"), "localhost");
        assert_eq!(with_port("::1", "[::1]:80".parse().unwrap()), "[::1]:80");
    }
}
