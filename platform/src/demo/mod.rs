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
mod before;
mod book;
mod boxes;
mod child;
mod children;
mod config_file;
mod handout;
mod line;
mod log_file;
mod partner;
mod private_file;
mod rupiah;
mod screen;
mod stage;
mod tokens;
mod witness;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use platform::app::{App, Options};
use platform::config::{Config, Switch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::children::Children;
use self::partner::Partners;
use self::screen::Screen;
use self::witness::Witness;

/// How often the simulator's files are read.
const TICK: Duration = Duration::from_millis(20);
/// The acquirer waits for boxes that do not come no longer than this.
const BOXES_UP_WITHIN: Duration = Duration::from_secs(10);
/// The acquirer finishes the payment in hand for up to ten seconds.
const ACQUIRER_STOPS_WITHIN: Duration = Duration::from_secs(12);
/// An announcement that got lost is sent again after 2, 4 and 8 seconds.
const ACKS_WITHIN: Duration = Duration::from_secs(30);
/// The same when a person waits for the end.
const ACKS_WITHIN_WHEN_ASKED: Duration = Duration::from_secs(5);

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
    let bank = match (plan.pay_every, &simulator) {
        (Some(_), Some(_)) => Some(partner::free_address()?),
        _ => None,
    };
    let partners = partner::configure(&mut config, bank)?;
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
    let setting_up = stage::set_up(config, plan, app, simulator, partners);
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
    config_file::write(&data_dir, &stage.handout.database_url)?;
    stage.handout.write(&data_dir)?;
    screen.ready(&stage.handout, &handout::path(&data_dir), started.elapsed())?;
    let ready = Instant::now();
    let mut witness = Witness::new(config, app, stage, screen, &logs).await?;
    let mut children = Children::default();
    if let Some(simulator) = simulator {
        witness.start_boxes(&mut children, simulator)?;
        if let Some(bank) = partner::bank_address(config) {
            children.bank = Some(witness.start_bank(simulator, bank)?);
        }
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
