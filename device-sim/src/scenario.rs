//! `scenario` and `chaos`: simulated boxes, payments, faults, and a check of the outcome.
//!
//! A scenario is a file ([`plan`]) with phases and expectations. Its boxes and the merchant they belong to are created
//! through the public API ([`merchant`]), so that nothing else on the server is affected. The [`runner`] carries out the
//! phases, [`customer`]s pay, [`evidence`] records every payment and announcement, and [`outcome`] compares the result
//! with the expectations. `chaos` is a scenario built from command-line arguments.

pub mod customer;
pub mod evidence;
pub mod merchant;
pub mod outcome;
pub mod plan;
pub mod runner;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::credentials;
use crate::fault_injection::FleetFaults;
use crate::fleet::box_tasks::{BoxTasks, Ended};
use crate::fleet::progress;
use crate::fleet::registrar::{self, Registrar, VendorKind};
use crate::output::Output;
use crate::partner::Partner;
use crate::session::Options;
use customer::Customers;
use evidence::Evidence;
use merchant::Admin;
use outcome::{Outcome, PhaseResult, Report};
use plan::Plan;
use runner::{Parts, Runner};

/// Boxes whose notifications are queried at a time.
const QUERIES_AT_ONCE: usize = 16;

/// How long the last acknowledgements may take to reach the platform.
const ACKS_WITHIN: Duration = Duration::from_secs(20);

const QUERY_INTERVAL: Duration = Duration::from_millis(250);

/// The server that a scenario runs against.
pub struct Environment {
    /// Creates the merchant, terminals and boxes.
    pub admin: Admin,
    /// The CA certificates that the boxes trust.
    pub ca_pem: String,
    /// Sends the callbacks.
    pub partner: Option<Partner>,
    /// Where the boxes' credentials are kept; without it they are deleted at the end.
    pub dir: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    ScenarioStarted {
        scenario: &'a str,
        seed: u64,
        boxes: usize,
    },
    PhaseEnded(&'a PhaseResult),
    PhaseFailed {
        number: usize,
        #[serde(rename = "do")]
        name: &'a str,
        problem: String,
    },
}

/// Runs a scenario and reports its outcome, expected or not.
pub async fn run(
    plan: &Plan,
    environment: Environment,
    options: Options,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !plan.pays() || environment.partner.is_some(),
        "this scenario has payments: give --partner-id and --partner-secret-file"
    );
    let started = OutputEvent::ScenarioStarted {
        scenario: &plan.name,
        seed: plan.seed,
        boxes: plan.boxes.count,
    };
    output.emit(&started, || format!("{}: seed {}", plan.name, plan.seed));
    match &environment.dir {
        Some(dir) => {
            let dir = dir.clone();
            credentials::make_dir(&dir)?;
            run_in(plan, environment, &dir, options, output, stop).await
        }
        None => {
            let dir = tempfile::tempdir()?;
            run_in(plan, environment, dir.path(), options, output, stop).await
        }
    }
}

async fn run_in(
    plan: &Plan,
    environment: Environment,
    dir: &Path,
    options: Options,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let Environment {
        admin,
        ca_pem,
        partner,
        ..
    } = environment;
    let boxes = &plan.boxes;
    let terminals = boxes.count.div_ceil(boxes.per_terminal);
    let set_up = async {
        let merchant = admin.merchant(dir, &plan.name, terminals).await?;
        let registrar = Registrar {
            api: admin.api.clone(),
            ca_pem,
            admin_token: admin.token.clone(),
            terminals: merchant.terminals[..terminals]
                .iter()
                .map(|one| one.id)
                .collect(),
            http: boxes.http,
            encoding: boxes.encoding.into(),
            firmware_version: "1.0.3".to_owned(),
            vendor: boxes.profile.map(|profile| VendorKind {
                profile,
                plain: boxes.plain,
                asks: false,
            }),
        };
        let devices = registrar::prepare(dir, boxes.count, Some(&registrar), output).await?;
        anyhow::Ok((merchant, devices))
    };
    let (merchant, devices) = tokio::select! {
        made = set_up => made?,
        () = stop.cancelled() => anyhow::bail!("interrupted"),
    };

    let evidence = Arc::new(Mutex::new(Evidence::default()));
    let faults = Arc::new(FleetFaults::new(plan.seed, plan.faults.clone()));
    let options = Options {
        heartbeat: boxes.heartbeat.map(|every| every.get()),
        seed: plan.seed,
        faults: Some(Arc::clone(&faults)),
        ..options
    };
    // The boxes keep running while the platform's records are read, also after an interruption.
    let boxes_stop = CancellationToken::new();
    let tasks = BoxTasks::new(devices.clone(), options, boxes_stop.clone());
    let customers = partner.map(|partner| Customers {
        api: admin.api.clone(),
        partner,
        nmid: merchant.nmid.clone(),
        evidence: Arc::clone(&evidence),
    });
    let mut runner = Runner::new(Parts {
        tasks,
        devices,
        merchant,
        customers,
        evidence: Arc::clone(&evidence),
        faults,
        seed: plan.seed,
        bar: progress(output, boxes.count, "boxes"),
        stop: stop.clone(),
    });
    let begun = Instant::now();
    let mut phases = Vec::new();
    let result = run_phases(plan, &mut runner, &mut phases, output).await;
    let unheard = match &result {
        Ok(()) if plan.expect.none_unheard => {
            // What the best of a box's confirmations is.
            let confirmed: &[&str] = match boxes.profile {
                None => &["played"],
                Some(_) => &["received", "played"],
            };
            Some(count_unheard(&admin, &evidence, confirmed).await?)
        }
        _ => None,
    };
    boxes_stop.cancel();
    let ended = runner.close().await?;
    result?;
    let report = report(plan, &evidence, unheard, &ended, phases, begun)?;
    output.emit(&report, || report.summary());
    ended.check()?;
    Ok(report)
}

async fn run_phases(
    plan: &Plan,
    runner: &mut Runner,
    phases: &mut Vec<PhaseResult>,
    output: Output,
) -> anyhow::Result<()> {
    let last = plan::Phase::Settle {
        within: plan.expect.settle_within,
    };
    for (index, phase) in plan.phases.iter().chain([&last]).enumerate() {
        let (number, name) = (index + 1, phase.name());
        let started = Instant::now();
        if let Err(error) = runner.run(phase).await {
            let failed = OutputEvent::PhaseFailed {
                number,
                name,
                problem: format!("{error:#}"),
            };
            output.emit(&failed, || format!("phase {number} ({name}) failed"));
            return Err(error.context(format!("phase {number} ({name})")));
        }
        let result = PhaseResult {
            number,
            name,
            took_ms: millis(started.elapsed()),
        };
        if output.is_json() {
            output.emit(&OutputEvent::PhaseEnded(&result), String::new);
        }
        phases.push(result);
    }
    Ok(())
}

/// How many due announcements the platform does not record as `confirmed`, after allowing time for the last
/// acknowledgements.
async fn count_unheard(
    admin: &Admin,
    evidence: &Mutex<Evidence>,
    confirmed: &[&str],
) -> anyhow::Result<u64> {
    let mut due_by_box = evidence
        .lock()
        .map(|evidence| evidence.due_by_box())
        .unwrap_or_default();
    let deadline = Instant::now() + ACKS_WITHIN;
    loop {
        let queried: Vec<_> =
            stream::iter(due_by_box.into_iter().map(async |(device_id, mut due)| {
                admin
                    .notifications(device_id, |transaction_id, status| {
                        if confirmed.contains(&status) {
                            due.remove(&transaction_id);
                        }
                        due.is_empty()
                    })
                    .await?;
                anyhow::Ok((device_id, due))
            }))
            .buffer_unordered(QUERIES_AT_ONCE)
            .try_collect()
            .await?;
        due_by_box = queried
            .into_iter()
            .filter(|(_, due)| !due.is_empty())
            .collect();
        if due_by_box.is_empty() || Instant::now() >= deadline {
            return Ok(due_by_box.values().map(|due| due.len() as u64).sum());
        }
        sleep(QUERY_INTERVAL).await;
    }
}

fn report(
    plan: &Plan,
    evidence: &Mutex<Evidence>,
    unheard: Option<u64>,
    ended: &Ended,
    phases: Vec<PhaseResult>,
    begun: Instant,
) -> anyhow::Result<Report> {
    let Ok(evidence) = evidence.lock() else {
        anyhow::bail!("a box panicked while it reported");
    };
    let outcome = Outcome {
        figures: evidence.figures(),
        longest_away: evidence.longest_away(),
        unheard,
    };
    let expectations = outcome::check(&plan.expect, &outcome);
    Ok(Report {
        scenario: plan.name.clone(),
        seed: plan.seed,
        boxes: plan.boxes.count,
        http_boxes: plan.boxes.http,
        took_ms: millis(begun.elapsed()),
        phases,
        payments: outcome.figures,
        unheard,
        faults: outcome::faults_by_name(evidence.faults()),
        counters: ended.counters,
        passed: expectations.iter().all(|checked| checked.met),
        expectations,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
