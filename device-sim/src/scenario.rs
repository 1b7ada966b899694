//! `scenario` and `chaos`: boxes of their own, payments to them, trouble, and a verdict.
//!
//! A scenario is a file ([`plan`]) with phases and expectations. Its boxes are made through the public API at a
//! merchant of their own ([`shop`]), so that nothing else at the server is disturbed; customers pay at its tills
//! ([`till`]); whatever is paid and said goes into a [`book`], and in the end that is held against what was expected
//! ([`verdict`]). `chaos` is the scenario that is put together from the command line.

pub mod book;
pub mod plan;
pub mod shop;
pub mod stage;
pub mod till;
pub mod verdict;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::credentials;
use crate::fleet::crew::{Crew, Ended};
use crate::fleet::progress;
use crate::fleet::registrar::{self, Registrar};
use crate::luck::Faults;
use crate::output::Output;
use crate::partner::Partner;
use crate::session::Options;
use book::Book;
use plan::Plan;
use shop::Admin;
use stage::{Cast, Stage};
use till::Till;
use verdict::{Outcome, Played, Report};

/// Boxes that are asked about at a time.
const ASKED_AT_ONCE: usize = 16;

/// The last acknowledgements may take so long.
const ACKS_WITHIN: Duration = Duration::from_secs(20);

const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Where a scenario is played.
pub struct Place {
    /// Who sets it up.
    pub admin: Admin,
    /// What the boxes will trust.
    pub ca_pem: String,
    /// Who reports payments.
    pub partner: Option<Partner>,
    /// Where the boxes live; without one they are gone afterwards.
    pub dir: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    ScenarioStarted {
        scenario: &'a str,
        seed: u64,
        boxes: usize,
    },
    PhaseEnded(&'a Played),
    PhaseFailed {
        number: usize,
        #[serde(rename = "do")]
        name: &'a str,
        problem: String,
    },
}

/// Plays a scenario and tells what came of it, expected or not.
///
/// # Errors
/// What keeps it from being played to the end.
pub async fn run(
    plan: &Plan,
    place: Place,
    options: Options,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !plan.pays() || place.partner.is_some(),
        "somebody pays in this scenario: give --partner-id and --partner-secret-file"
    );
    let started = Line::ScenarioStarted {
        scenario: &plan.name,
        seed: plan.seed,
        boxes: plan.boxes.count,
    };
    output.say(&started, || format!("{}: seed {}", plan.name, plan.seed));
    match &place.dir {
        Some(dir) => {
            let dir = dir.clone();
            credentials::make_dir(&dir)?;
            play(plan, place, &dir, options, output, stop).await
        }
        None => {
            let dir = tempfile::tempdir()?;
            play(plan, place, dir.path(), options, output, stop).await
        }
    }
}

async fn play(
    plan: &Plan,
    place: Place,
    dir: &Path,
    options: Options,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let Place {
        admin,
        ca_pem,
        partner,
        ..
    } = place;
    let boxes = &plan.boxes;
    let terminals = boxes.count.div_ceil(boxes.per_terminal);
    let set_up = async {
        let shop = admin.shop(dir, &plan.name, terminals).await?;
        let registrar = Registrar {
            api: admin.api.clone(),
            ca_pem,
            admin_token: admin.token.clone(),
            terminals: shop.terminals[..terminals]
                .iter()
                .map(|one| one.id)
                .collect(),
            http: boxes.http,
            encoding: boxes.encoding.into(),
            firmware_version: "1.0.3".to_owned(),
        };
        let sellers = registrar::prepare(dir, boxes.count, Some(&registrar), output).await?;
        let transports: Vec<_> = (0..boxes.count)
            .map(|one| registrar.transport(one))
            .collect();
        anyhow::Ok((shop, sellers, transports))
    };
    let (shop, sellers, transports) = tokio::select! {
        made = set_up => made?,
        () = stop.cancelled() => anyhow::bail!("interrupted"),
    };

    let book = Arc::new(Mutex::new(Book::default()));
    let faults = Arc::new(Faults::new(plan.seed, plan.faults.clone()));
    let options = Options {
        heartbeat: boxes.heartbeat.map(|every| every.get()),
        seed: plan.seed,
        faults: Some(Arc::clone(&faults)),
        ..options
    };
    // The boxes go on while the platform is asked what it knows, whatever stopped the scenario.
    let boxes_stop = CancellationToken::new();
    let crew = Crew::new(
        sellers.iter().cloned().zip(transports).collect(),
        options,
        boxes_stop.clone(),
    );
    let till = partner.map(|partner| Till {
        api: admin.api.clone(),
        partner,
        nmid: shop.nmid.clone(),
        book: Arc::clone(&book),
    });
    let mut stage = Stage::set(Cast {
        crew,
        sellers,
        shop,
        till,
        book: Arc::clone(&book),
        faults,
        seed: plan.seed,
        bar: progress(output, boxes.count, "boxes"),
        stop: stop.clone(),
    });
    let begun = Instant::now();
    let mut phases = Vec::new();
    let played = play_phases(plan, &mut stage, &mut phases, output).await;
    let unheard = match &played {
        Ok(()) if plan.expect.none_unheard => Some(unheard(&admin, &book).await?),
        _ => None,
    };
    boxes_stop.cancel();
    let ended = stage.close().await?;
    played?;
    let report = judge(plan, &book, unheard, &ended, phases, begun)?;
    output.say(&report, || report.people());
    ended.check()?;
    Ok(report)
}

async fn play_phases(
    plan: &Plan,
    stage: &mut Stage,
    phases: &mut Vec<Played>,
    output: Output,
) -> anyhow::Result<()> {
    let last = plan::Phase::Settle {
        within: plan.expect.settle_within,
    };
    for (index, phase) in plan.phases.iter().chain([&last]).enumerate() {
        let (number, name) = (index + 1, phase.name());
        let started = Instant::now();
        if let Err(error) = stage.play(phase).await {
            let failed = Line::PhaseFailed {
                number,
                name,
                problem: format!("{error:#}"),
            };
            output.say(&failed, || format!("phase {number} ({name}) failed"));
            return Err(error.context(format!("phase {number} ({name})")));
        }
        let played = Played {
            number,
            name,
            took_ms: millis(started.elapsed()),
        };
        if output.is_json() {
            output.say(&Line::PhaseEnded(&played), String::new);
        }
        phases.push(played);
    }
    Ok(())
}

/// How many announcements the platform does not know as played, once it had time to learn of the last ones.
async fn unheard(admin: &Admin, book: &Mutex<Book>) -> anyhow::Result<u64> {
    let mut dues = book.lock().map(|book| book.dues()).unwrap_or_default();
    let deadline = Instant::now() + ACKS_WITHIN;
    loop {
        let asked: Vec<_> = stream::iter(dues.into_iter().map(async |(device_id, mut due)| {
            admin
                .notifications(device_id, |transaction_id, status| {
                    if status == "played" {
                        due.remove(&transaction_id);
                    }
                    due.is_empty()
                })
                .await?;
            anyhow::Ok((device_id, due))
        }))
        .buffer_unordered(ASKED_AT_ONCE)
        .try_collect()
        .await?;
        dues = asked
            .into_iter()
            .filter(|(_, due)| !due.is_empty())
            .collect();
        if dues.is_empty() || Instant::now() >= deadline {
            return Ok(dues.values().map(|due| due.len() as u64).sum());
        }
        sleep(ASK_AGAIN).await;
    }
}

fn judge(
    plan: &Plan,
    book: &Mutex<Book>,
    unheard: Option<u64>,
    ended: &Ended,
    phases: Vec<Played>,
    begun: Instant,
) -> anyhow::Result<Report> {
    let Ok(book) = book.lock() else {
        anyhow::bail!("a box panicked while it reported");
    };
    let outcome = Outcome {
        figures: book.figures(),
        longest_away: book.longest_away(),
        unheard,
    };
    let expectations = verdict::check(&plan.expect, &outcome);
    Ok(Report {
        scenario: plan.name.clone(),
        seed: plan.seed,
        boxes: plan.boxes.count,
        http_boxes: plan.boxes.http,
        took_ms: millis(begun.elapsed()),
        phases,
        payments: outcome.figures,
        unheard,
        faults: verdict::faults_by_name(book.faults()),
        counters: ended.counters,
        passed: expectations.iter().all(|checked| checked.met),
        expectations,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
