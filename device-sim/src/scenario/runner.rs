//! Runs the phases of a scenario, one after the other or beside each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use wire::{DeviceId, Rupiah, TerminalId};

use super::customer::{Customer, Customers};
use super::evidence::Evidence;
use super::merchant::Merchant;
use super::plan::{Kind, Phase};
use crate::fault_injection::FleetFaults;
use crate::fleet::box_tasks::{BoxTasks, Ended};
use crate::fleet::fleet_box::FleetBox;
use crate::report::{Listener, Report};
use crate::session::Control;

/// Payments in progress at a time.
const PAYMENTS_AT_ONCE: usize = 64;

/// How often a phase checks its end condition.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// The amounts are multiples of the price step, in rupiah.
const AMOUNTS: std::ops::RangeInclusive<i64> = 10..=2_000;
const PRICE_STEP: i64 = 100;

/// A running scenario.
pub struct Runner {
    tasks: Arc<Mutex<BoxTasks>>,
    evidence: Arc<Mutex<Evidence>>,
    faults: Arc<FleetFaults>,
    customers: Option<Arc<Customers>>,
    devices: Vec<Arc<FleetBox>>,
    boxes_by_terminal: HashMap<TerminalId, Arc<[DeviceId]>>,
    merchant: Merchant,
    random: StdRng,
    /// Phases with `beside = true` that have not ended.
    beside: JoinSet<anyhow::Result<()>>,
    bar: ProgressBar,
    stop: CancellationToken,
}

/// What a runner is made of.
pub struct Parts {
    /// The boxes, not started.
    pub tasks: BoxTasks,
    /// The credentials of the same boxes, for their code requests.
    pub devices: Vec<FleetBox>,
    /// The merchant whose terminals the boxes are bound to.
    pub merchant: Merchant,
    /// The customers, when the scenario has payments.
    pub customers: Option<Customers>,
    /// Where payments and the boxes' events are recorded.
    pub evidence: Arc<Mutex<Evidence>>,
    /// Fault injection, inactive.
    pub faults: Arc<FleetFaults>,
    /// Seeds the choice of boxes and amounts.
    pub seed: u64,
    /// Shows the progress.
    pub bar: ProgressBar,
    /// Interrupts the scenario when cancelled.
    pub stop: CancellationToken,
}

impl Runner {
    /// A runner of these parts; nothing is started.
    pub fn new(parts: Parts) -> Self {
        let mut boxes_by_terminal: HashMap<TerminalId, Vec<DeviceId>> = HashMap::new();
        for one in &parts.devices {
            if let Some(terminal_id) = one.terminal_id() {
                let boxes = boxes_by_terminal.entry(terminal_id).or_default();
                boxes.push(one.device_id());
            }
        }
        Self {
            tasks: Arc::new(Mutex::new(parts.tasks)),
            evidence: parts.evidence,
            faults: parts.faults,
            customers: parts.customers.map(Arc::new),
            devices: parts.devices.into_iter().map(Arc::new).collect(),
            boxes_by_terminal: boxes_by_terminal
                .into_iter()
                .map(|(terminal_id, boxes)| (terminal_id, boxes.into()))
                .collect(),
            merchant: parts.merchant,
            random: StdRng::seed_from_u64(parts.seed),
            beside: JoinSet::new(),
            bar: parts.bar,
            stop: parts.stop,
        }
    }

    /// Runs a phase.
    ///
    /// # Errors
    /// A timeout of the phase; a payment that was refused; an interruption.
    pub async fn run(&mut self, phase: &Phase) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let (bar, evidence) = (self.bar.clone(), Arc::clone(&self.evidence));
        bar.set_prefix(phase.name());
        let drawing = async {
            let mut draws = interval(DRAW_EVERY);
            loop {
                draws.tick().await;
                draw(&bar, &evidence);
            }
        };
        tokio::select! {
            result = self.run_phase(phase) => result,
            never = drawing => never,
            () = stop.cancelled() => anyhow::bail!("interrupted"),
        }
    }

    async fn run_phase(&mut self, phase: &Phase) -> anyhow::Result<()> {
        match *phase {
            Phase::Connect {
                boxes,
                rate,
                within,
            } => self.connect(boxes, rate, within.get()).await,
            Phase::Heartbeats {
                every,
                lasting,
                beside,
            } => {
                let tasks = Arc::clone(&self.tasks);
                let sending = send_heartbeats(tasks, every.get(), lasting.get());
                self.now_or_beside(beside, sending).await
            }
            Phase::Pay {
                payments,
                rate,
                qr,
                beside,
            } => {
                let paying = self.customers.clone();
                let paying =
                    paying.context("give --partner-id and --partner-secret-file to pay")?;
                let customers: Vec<Customer> = (0..payments)
                    .map(|_| self.customer(qr))
                    .collect::<anyhow::Result<_>>()?;
                self.now_or_beside(beside, pay(paying, customers, rate))
                    .await
            }
            Phase::Drop { boxes, away } => {
                let drawn = self.draw_boxes(Some(boxes));
                self.apply(&drawn, Control::Cut { away: away.get() });
                Ok(())
            }
            Phase::ReconnectStorm { boxes, within } => {
                let drawn = self.draw_boxes(boxes);
                let cut = Control::Cut {
                    away: Duration::ZERO,
                };
                self.storm(&drawn, cut, within.get()).await
            }
            Phase::RebootStorm { boxes, within } => {
                let drawn = self.draw_boxes(boxes);
                self.storm(&drawn, Control::PowerCut, within.get()).await
            }
            Phase::Faults {
                lasting,
                reboot_storm_every,
                beside,
            } => {
                let every = reboot_storm_every.map(|every| every.get());
                let faults = ActiveFaults {
                    tasks: Arc::clone(&self.tasks),
                    evidence: Arc::clone(&self.evidence),
                    faults: Arc::clone(&self.faults),
                };
                self.now_or_beside(beside, faults.run(lasting.get(), every))
                    .await
            }
            Phase::Wait { lasting } => {
                sleep(lasting.get()).await;
                Ok(())
            }
            Phase::Settle { within } => self.settle(within.get()).await,
        }
    }

    /// Runs the work now, or beside the phases that follow.
    async fn now_or_beside(
        &mut self,
        beside: bool,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> anyhow::Result<()> {
        if !beside {
            return work.await;
        }
        self.beside.spawn(work);
        Ok(())
    }

    async fn connect(
        &mut self,
        boxes: Option<usize>,
        rate: u32,
        within: Duration,
    ) -> anyhow::Result<()> {
        let mut starts = interval(Duration::from_secs(1) / rate);
        starts.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let deadline = Instant::now() + within;
        for _ in 0..boxes.unwrap_or(usize::MAX) {
            starts.tick().await;
            let listener = self.listener();
            let started = self
                .tasks
                .lock()
                .is_ok_and(|mut tasks| tasks.start_next(listener));
            if !started {
                break;
            }
        }
        self.until_ready(deadline).await
    }

    /// Waits until all started boxes are connected and have the time.
    async fn until_ready(&self, deadline: Instant) -> anyhow::Result<()> {
        let started = self.tasks.lock().map_or(0, |tasks| tasks.started());
        loop {
            let ready = self
                .evidence
                .lock()
                .map_or(0, |evidence| evidence.ready_boxes());
            if ready >= started {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "only {ready} of {started} boxes were connected in time"
            );
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Draws boxes among the started ones; all of them without a number.
    fn draw_boxes(&mut self, boxes: Option<usize>) -> Vec<usize> {
        let started = self.tasks.lock().map_or(0, |tasks| tasks.started());
        match boxes {
            Some(boxes) => index::sample(&mut self.random, started, boxes.min(started)).into_vec(),
            None => (0..started).collect(),
        }
    }

    fn apply(&self, drawn: &[usize], control: Control) {
        apply(&self.tasks, &self.evidence, drawn, control);
    }

    async fn storm(
        &mut self,
        drawn: &[usize],
        control: Control,
        within: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        self.apply(drawn, control);
        self.until_ready(deadline).await
    }

    /// The next customer, with box and amount drawn by the seed.
    fn customer(&mut self, kind: Kind) -> anyhow::Result<Customer> {
        let device = &self.devices[self.random.random_range(0..self.devices.len())];
        let amount = Rupiah::from_i64(self.random.random_range(AMOUNTS) * PRICE_STEP);
        let terminal_id = device.terminal_id();
        let terminal_id = terminal_id.context("a box of this scenario has no terminal")?;
        let boxes = self.boxes_by_terminal.get(&terminal_id);
        let printed = match kind {
            Kind::Dynamic => None,
            Kind::Static => {
                let mut terminals = self.merchant.terminals.iter();
                let printed = terminals.find(|one| one.id == terminal_id);
                let printed = printed.context("a box is bound to another merchant's terminal")?;
                Some(printed.clone())
            }
        };
        Ok(Customer {
            device: Arc::clone(device),
            boxes: boxes.cloned().unwrap_or_default(),
            printed,
            amount,
        })
    }

    /// Waits until the phases beside have ended and every accepted payment was announced.
    ///
    /// # Errors
    /// A payment that was refused. A missing announcement is no error here: the expectations judge it.
    async fn settle(&mut self, within: Duration) -> anyhow::Result<()> {
        while let Some(ended) = self.beside.join_next().await {
            ended.context("a phase has panicked")??;
        }
        let deadline = Instant::now() + within;
        let all_announced = || self.evidence.lock().is_ok_and(|one| one.all_announced());
        while Instant::now() < deadline && !all_announced() {
            sleep(CHECK_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until all boxes have stopped. Their stop token must be cancelled.
    pub async fn close(self) -> anyhow::Result<Ended> {
        let mut beside = self.beside;
        beside.shutdown().await;
        let tasks = Arc::try_unwrap(self.tasks)
            .ok()
            .and_then(|tasks| tasks.into_inner().ok())
            .context("the boxes are still in use")?;
        Ok(tasks.all_ended().await)
    }

    fn listener(&self) -> Listener {
        let evidence = Arc::clone(&self.evidence);
        Arc::new(move |report: &Report| {
            if let Ok(mut evidence) = evidence.lock() {
                evidence.record(report, Instant::now());
            }
        })
    }
}

/// Sends the control to the boxes, and records that they lose their connection by it.
fn apply(tasks: &Mutex<BoxTasks>, evidence: &Mutex<Evidence>, boxes: &[usize], control: Control) {
    let (Ok(tasks), Ok(mut evidence)) = (tasks.lock(), evidence.lock()) else {
        return;
    };
    let now = Instant::now();
    for number in boxes {
        if let Some(device_id) = tasks.control(*number, control) {
            evidence.connection_cut(device_id, now);
        }
    }
}

fn draw(bar: &ProgressBar, evidence: &Mutex<Evidence>) {
    let Ok(evidence) = evidence.lock() else {
        return;
    };
    let (paid, announced) = evidence.progress();
    bar.set_position(evidence.ready_boxes() as u64);
    bar.set_message(format!("paid {paid}  announced {announced}"));
}

async fn send_heartbeats(
    tasks: Arc<Mutex<BoxTasks>>,
    every: Duration,
    lasting: Duration,
) -> anyhow::Result<()> {
    let until = Instant::now() + lasting;
    let mut ticks = interval(every);
    while Instant::now() < until {
        ticks.tick().await;
        if let Ok(tasks) = tasks.lock() {
            for number in 0..tasks.started() {
                tasks.control(number, Control::Heartbeat);
            }
        }
    }
    Ok(())
}

/// Makes the payments at this rate, and waits for the last one.
async fn pay(paying: Arc<Customers>, customers: Vec<Customer>, rate: u32) -> anyhow::Result<()> {
    let permits = Arc::new(Semaphore::new(PAYMENTS_AT_ONCE));
    let mut arrivals = interval(Duration::from_secs(1) / rate);
    arrivals.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut payments = JoinSet::new();
    for customer in customers {
        arrivals.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let paying = Arc::clone(&paying);
        payments.spawn(async move {
            let _permit = permit;
            paying.pay(customer).await
        });
        while let Some(paid) = payments.try_join_next() {
            paid??;
        }
    }
    while let Some(paid) = payments.join_next().await {
        paid??;
    }
    Ok(())
}

/// Fault injection that is active until this is dropped.
struct ActiveFaults {
    tasks: Arc<Mutex<BoxTasks>>,
    evidence: Arc<Mutex<Evidence>>,
    faults: Arc<FleetFaults>,
}

impl ActiveFaults {
    async fn run(self, lasting: Duration, storm_every: Option<Duration>) -> anyhow::Result<()> {
        self.faults.set_active(true);
        let until = Instant::now() + lasting;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match storm_every {
                Some(every) if every < left => {
                    sleep(every).await;
                    let started = self.tasks.lock().map_or(0, |tasks| tasks.started());
                    let all: Vec<usize> = (0..started).collect();
                    apply(&self.tasks, &self.evidence, &all, Control::PowerCut);
                }
                _ => sleep(left).await,
            }
        }
        Ok(())
    }
}

impl Drop for ActiveFaults {
    fn drop(&mut self) {
        self.faults.set_active(false);
    }
}
