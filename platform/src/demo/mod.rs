//! The demonstration: a platform, simulated boxes, an acquirer and a bank, and a check of every payment.
//!
//! Boxes, acquirer and bank are `device-sim` processes that use only the public API. What is printed comes from their
//! output and from the public API ([`evidence`]). Only the tokens are created inside this process, because the API needs
//! a first one.
//!
//! At the end the acquirer stops first, then outstanding announcements are waited for, then the boxes stop, then the
//! platform. When this process is killed, the kernel signals the children: boxes get SIGTERM and stop properly, as if
//! they were other machines; the acquirer gets SIGKILL, because its journal has the payments that it has not reported.

mod api;
mod boxes;
mod child;
mod children;
mod config_file;
mod demo_file;
mod earlier_runs;
mod evidence;
mod log_file;
mod logins;
mod monitor;
mod output;
mod partner;
mod private_file;
mod rupiah;
mod setup;
mod simulator_event;
mod tokens;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use platform::app::{App, Options};
use platform::config::{Config, Switch};
use platform::telemetry::Telemetry;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::children::Children;
use self::monitor::Monitor;
use self::output::Output;
use self::partner::Partners;

/// How often the simulator's output is read.
const TICK: Duration = Duration::from_millis(20);
/// The acquirer is started after this time even if boxes are missing.
const BOXES_UP_WITHIN: Duration = Duration::from_secs(10);
/// The acquirer may take ten seconds to finish its current payment.
const ACQUIRER_STOPS_WITHIN: Duration = Duration::from_secs(12);
/// A lost notification is sent again after 2, 4 and 8 seconds.
const ACKS_WITHIN: Duration = Duration::from_secs(30);
/// The same after a signal, when a person waits for the end.
const ACKS_WITHIN_AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// The arguments of a demonstration.
pub(crate) struct Plan {
    /// How many boxes.
    pub(crate) boxes: u32,
    /// The time between payments; `None` for no acquirer.
    pub(crate) pay_every: Option<Duration>,
    /// How long it runs after it is ready.
    pub(crate) end_after: Option<Duration>,
    /// JSON lines instead of text.
    pub(crate) json: bool,
}

/// Runs the demonstration until `stop`, or until its time is over.
///
/// # Errors
/// A platform that cannot start, or boxes that cannot be provisioned.
pub(crate) async fn run(
    mut config: Config,
    plan: &Plan,
    telemetry: Option<Telemetry>,
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
        telemetry,
        ..Options::default()
    };
    let app = tokio::select! {
        app = App::start(&config, options) => app?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let ended = tokio::select! {
        ended = run_on(&config, plan, &app, simulator.as_deref(), partners, started, &stop) => ended,
        () = app.database_lost() => Err(anyhow::anyhow!(
            "the embedded Postgres has stopped unexpectedly; see {}/postgres/server.log",
            config.data_dir().display()
        )),
    };
    // The platform is stopped in any case; the first error is returned.
    let stopped = app.stop().await;
    let clean = ended?;
    stopped?;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The demonstration on a running platform. Returns whether every payment was played exactly once.
async fn run_on(
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
    let setting_up = setup::set_up(config, plan, app, simulator, partners);
    let setup = tokio::select! {
        setup = setting_up => setup?,
        () = stop.cancelled() => return Ok(true),
    };
    let output = Output::new(
        plan.json,
        setup
            .seeded
            .merchants
            .iter()
            .map(|merchant| (merchant.merchant_id, merchant.brand_name.clone()))
            .collect(),
    );
    config_file::write(&data_dir, &setup.demo.database_url)?;
    setup.demo.write(&data_dir)?;
    output.ready(&setup.demo, &demo_file::path(&data_dir), started.elapsed())?;
    let ready = Instant::now();
    let mut monitor = Monitor::new(config, app, setup, output, &logs).await?;
    let mut children = Children::default();
    if let Some(simulator) = simulator {
        monitor.start_boxes(&mut children, simulator)?;
        if let Some(bank) = partner::bank_address(config) {
            children.bank = Some(monitor.start_bank(simulator, bank)?);
        }
    }
    let acquirer = plan.pay_every.zip(simulator);
    let end = plan.end_after.map(|after| ready + after);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let signalled = loop {
        tokio::select! {
            () = stop.cancelled() => break true,
            _ = ticks.tick() => {}
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break false;
        }
        monitor.poll(false).await?;
        children.restart_ended(&monitor.output);
        if let Some((every, simulator)) = acquirer
            && children.acquirer.is_none()
            && (monitor.boxes_up() || ready.elapsed() >= BOXES_UP_WITHIN)
        {
            children.acquirer = Some(monitor.start_acquirer(simulator, every)?);
        }
    };

    if let Some(acquirer) = children.acquirer.take() {
        acquirer.stop(ACQUIRER_STOPS_WITHIN).await;
    }
    let within = if signalled {
        ACKS_WITHIN_AFTER_SIGNAL
    } else {
        ACKS_WITHIN
    };
    let deadline = Instant::now() + within;
    monitor.poll(false).await?;
    while monitor.evidence.is_waiting() && Instant::now() < deadline {
        ticks.tick().await;
        monitor.poll(false).await?;
        children.restart_ended(&monitor.output);
    }
    children.stop_boxes().await;
    // Without a time limit, a payment that is not spoken yet is not lost: the next run announces it.
    monitor.poll(plan.end_after.is_some()).await?;
    let summary = monitor.evidence.summary();
    monitor.output.summary(&summary);
    let Some(length) = plan.end_after else {
        return Ok(true);
    };
    let nothing_paid = match acquirer {
        Some((every, _)) => summary.payments == 0 && !signalled && length >= every * 2,
        None => false,
    };
    if nothing_paid {
        monitor.output.notice(
            "problem",
            &format!("no payment was made; see {}", logs.display()),
        );
    }
    Ok(summary.is_clean() && !nothing_paid)
}
