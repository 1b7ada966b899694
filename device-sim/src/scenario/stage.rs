//! A scenario that runs: its boxes, its phases, one after the other or beside each other.

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

use super::book::Book;
use super::plan::{Kind, Phase};
use super::shop::Shop;
use super::till::{Customer, Till};
use crate::credentials::Credentials;
use crate::fleet::crew::{Crew, Ended};
use crate::luck::Faults;
use crate::report::{Listener, Report};
use crate::session::Control;

/// Payments that are under way at a time.
const PAYMENTS_AT_ONCE: usize = 64;

/// How often it looks whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What customers buy, in rupiah.
const AMOUNTS: std::ops::RangeInclusive<i64> = 10..=2_000;
/// Prices are multiples of this.
const PRICE_STEP: i64 = 100;

/// A scenario that runs.
pub struct Stage {
    crew: Arc<Mutex<Crew>>,
    book: Arc<Mutex<Book>>,
    faults: Arc<Faults>,
    till: Option<Arc<Till>>,
    sellers: Vec<Arc<Credentials>>,
    hearers: HashMap<TerminalId, Arc<[DeviceId]>>,
    shop: Shop,
    random: StdRng,
    beside: JoinSet<anyhow::Result<()>>,
    bar: ProgressBar,
    stop: CancellationToken,
}

/// What a stage is made of.
pub struct Cast {
    /// The boxes, not started.
    pub crew: Crew,
    /// The same boxes, as sellers.
    pub sellers: Vec<Credentials>,
    /// Where they stand.
    pub shop: Shop,
    /// Who pays, if anybody.
    pub till: Option<Till>,
    /// Where it is written down.
    pub book: Arc<Mutex<Book>>,
    /// What may be let loose.
    pub faults: Arc<Faults>,
    /// Repeats what is left to chance.
    pub seed: u64,
    /// Shows how it goes.
    pub bar: ProgressBar,
    /// When cancelled, it ends at once.
    pub stop: CancellationToken,
}

impl Stage {
    /// Sets the stage.
    pub fn set(cast: Cast) -> Self {
        let mut hearers: HashMap<TerminalId, Vec<DeviceId>> = HashMap::new();
        for seller in &cast.sellers {
            if let Some(terminal_id) = seller.device.terminal_id {
                let boxes = hearers.entry(terminal_id).or_default();
                boxes.push(seller.device.device_id);
            }
        }
        Self {
            crew: Arc::new(Mutex::new(cast.crew)),
            book: cast.book,
            faults: cast.faults,
            till: cast.till.map(Arc::new),
            sellers: cast.sellers.into_iter().map(Arc::new).collect(),
            hearers: hearers
                .into_iter()
                .map(|(terminal_id, boxes)| (terminal_id, boxes.into()))
                .collect(),
            shop: cast.shop,
            random: StdRng::seed_from_u64(cast.seed),
            beside: JoinSet::new(),
            bar: cast.bar,
            stop: cast.stop,
        }
    }

    /// Plays a phase.
    ///
    /// # Errors
    /// What did not come about in its time; a payment that was refused; an interruption.
    pub async fn play(&mut self, phase: &Phase) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let (bar, book) = (self.bar.clone(), Arc::clone(&self.book));
        bar.set_prefix(phase.name());
        let shown = async {
            let mut draws = interval(DRAW_EVERY);
            loop {
                draws.tick().await;
                show(&bar, &book);
            }
        };
        tokio::select! {
            result = self.act(phase) => result,
            never = shown => never,
            () = stop.cancelled() => anyhow::bail!("interrupted"),
        }
    }

    async fn act(&mut self, phase: &Phase) -> anyhow::Result<()> {
        match *phase {
            Phase::Connect {
                boxes,
                rate,
                within,
            } => self.connect(boxes, rate, within.get()).await,
            Phase::Beat {
                every,
                lasting,
                beside,
            } => {
                let crew = Arc::clone(&self.crew);
                let beating = beat(crew, every.get(), lasting.get());
                self.perform(beside, beating).await
            }
            Phase::Pay {
                payments,
                rate,
                qr,
                beside,
            } => {
                let till = self.till.clone();
                let till = till.context("give --partner-id and --partner-secret-file to pay")?;
                let customers: Vec<Customer> = (0..payments)
                    .map(|_| self.customer(qr))
                    .collect::<anyhow::Result<_>>()?;
                self.perform(beside, pay(till, customers, rate)).await
            }
            Phase::Drop { boxes, away } => {
                let drawn = self.draw(Some(boxes));
                self.hit(&drawn, Control::Cut { away: away.get() });
                Ok(())
            }
            Phase::ReconnectStorm { boxes, within } => {
                let drawn = self.draw(boxes);
                let cut = Control::Cut {
                    away: Duration::ZERO,
                };
                self.storm(&drawn, cut, within.get()).await
            }
            Phase::RebootStorm { boxes, within } => {
                let drawn = self.draw(boxes);
                self.storm(&drawn, Control::PowerCut, within.get()).await
            }
            Phase::Faults {
                lasting,
                reboot_storm_every,
                beside,
            } => {
                let every = reboot_storm_every.map(|every| every.get());
                let raging = Raging {
                    crew: Arc::clone(&self.crew),
                    book: Arc::clone(&self.book),
                    faults: Arc::clone(&self.faults),
                };
                self.perform(beside, raging.run(lasting.get(), every)).await
            }
            Phase::Wait { lasting } => {
                sleep(lasting.get()).await;
                Ok(())
            }
            Phase::Settle { within } => self.settle(within.get()).await,
        }
    }

    /// Does it now, or beside the phases that follow.
    async fn perform(
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
                .crew
                .lock()
                .is_ok_and(|mut crew| crew.start_next(listener));
            if !started {
                break;
            }
        }
        self.until_present(deadline).await
    }

    /// Waits until all boxes that were started are there and know the time.
    async fn until_present(&self, deadline: Instant) -> anyhow::Result<()> {
        let started = self.crew.lock().map_or(0, |crew| crew.started());
        loop {
            let present = self.book.lock().map_or(0, |book| book.present());
            if present >= started {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{present} of {started} boxes are there in time"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// Draws boxes among those that were started; without a number, all of them.
    fn draw(&mut self, boxes: Option<usize>) -> Vec<usize> {
        let started = self.crew.lock().map_or(0, |crew| crew.started());
        match boxes {
            Some(boxes) => index::sample(&mut self.random, started, boxes.min(started)).into_vec(),
            None => (0..started).collect(),
        }
    }

    fn hit(&self, drawn: &[usize], control: Control) {
        strike(&self.crew, &self.book, drawn, control);
    }

    async fn storm(
        &mut self,
        drawn: &[usize],
        control: Control,
        within: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        self.hit(drawn, control);
        self.until_present(deadline).await
    }

    /// The next customer: at which box and with how much, by the seed.
    fn customer(&mut self, kind: Kind) -> anyhow::Result<Customer> {
        let seller = &self.sellers[self.random.random_range(0..self.sellers.len())];
        let amount = Rupiah::from_i64(self.random.random_range(AMOUNTS) * PRICE_STEP);
        let terminal_id = seller.device.terminal_id;
        let terminal_id = terminal_id.context("a box of this scenario has no terminal")?;
        let hearers = self.hearers.get(&terminal_id).cloned().unwrap_or_default();
        let printed = match kind {
            Kind::Dynamic => None,
            Kind::Static => {
                let terminals = &self.shop.terminals;
                let printed = terminals.iter().find(|one| one.id == terminal_id);
                Some(
                    printed
                        .context("a box stands at a foreign terminal")?
                        .clone(),
                )
            }
        };
        Ok(Customer {
            seller: Arc::clone(seller),
            hearers,
            printed,
            amount,
        })
    }

    /// Waits until everything beside has ended, all boxes are back and every payment was heard.
    ///
    /// # Errors
    /// A payment that was refused. That something was not heard in time is for the expectations to judge.
    pub async fn settle(&mut self, within: Duration) -> anyhow::Result<()> {
        while let Some(ended) = self.beside.join_next().await {
            ended.context("a phase has panicked")??;
        }
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && !self.book.lock().is_ok_and(|book| book.all_heard()) {
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Switches all boxes off, and gives what they saw.
    ///
    /// # Errors
    /// A box that panicked while it reported.
    pub async fn close(self) -> anyhow::Result<Ended> {
        let mut beside = self.beside;
        beside.shutdown().await;
        let crew = Arc::try_unwrap(self.crew)
            .ok()
            .and_then(|crew| crew.into_inner().ok())
            .context("the boxes are still in use")?;
        Ok(crew.all_ended().await)
    }

    fn listener(&self) -> Listener {
        let book = Arc::clone(&self.book);
        Arc::new(move |report: &Report| {
            if let Ok(mut book) = book.lock() {
                book.take(report, Instant::now());
            }
        })
    }
}

/// Does this to boxes, and notes that they lose their connection by it.
fn strike(crew: &Mutex<Crew>, book: &Mutex<Book>, drawn: &[usize], control: Control) {
    let (Ok(crew), Ok(mut book)) = (crew.lock(), book.lock()) else {
        return;
    };
    let now = Instant::now();
    for number in drawn {
        if let Some(device_id) = crew.control(*number, control) {
            book.cut(device_id, now);
        }
    }
}

fn show(bar: &ProgressBar, book: &Mutex<Book>) {
    let Ok(book) = book.lock() else { return };
    let (paid, said) = book.progress();
    bar.set_position(book.present() as u64);
    bar.set_message(format!("paid {paid}  said {said}"));
}

async fn beat(crew: Arc<Mutex<Crew>>, every: Duration, lasting: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + lasting;
    let mut beats = interval(every);
    while Instant::now() < until {
        beats.tick().await;
        if let Ok(crew) = crew.lock() {
            for number in 0..crew.started() {
                crew.control(number, Control::Beat);
            }
        }
    }
    Ok(())
}

/// Lets the customers in at this rate, and waits for the last of them.
async fn pay(till: Arc<Till>, customers: Vec<Customer>, rate: u32) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(PAYMENTS_AT_ONCE));
    let mut arrivals = interval(Duration::from_secs(1) / rate);
    arrivals.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut paying = JoinSet::new();
    for customer in customers {
        arrivals.tick().await;
        let place = Arc::clone(&room).acquire_owned().await?;
        let till = Arc::clone(&till);
        paying.spawn(async move {
            let _place = place;
            till.pay(customer).await
        });
        while let Some(paid) = paying.try_join_next() {
            paid??;
        }
    }
    while let Some(paid) = paying.join_next().await {
        paid??;
    }
    Ok(())
}

/// Faults that are loose.
struct Raging {
    crew: Arc<Mutex<Crew>>,
    book: Arc<Mutex<Book>>,
    faults: Arc<Faults>,
}

impl Raging {
    async fn run(self, lasting: Duration, storm_every: Option<Duration>) -> anyhow::Result<()> {
        self.faults.set_active(true);
        let until = Instant::now() + lasting;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match storm_every {
                Some(every) if every < left => {
                    sleep(every).await;
                    let started = self.crew.lock().map_or(0, |crew| crew.started());
                    let all: Vec<usize> = (0..started).collect();
                    strike(&self.crew, &self.book, &all, Control::PowerCut);
                }
                _ => sleep(left).await,
            }
        }
        Ok(())
    }
}

impl Drop for Raging {
    /// However it ends, the faults end with it.
    fn drop(&mut self) {
        self.faults.set_active(false);
    }
}
