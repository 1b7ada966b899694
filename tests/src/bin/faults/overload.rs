//! Five times as many callbacks as can be made durable: what is answered, how soon, with how much memory, and what follows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use futures_util::stream;
use tests::acquirer::{reference, static_success};
use tests::commits::per_second_of;
use tests::figures::{Figures, print_heading};
use tests::node_process::NodeProcess;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::judge;
use crate::participants::Participants;
use crate::proxy::Mode;
use crate::world::{Link, World};

/// The delay of each message between platform and Postgres: it bounds what can be made durable, so that this machine can
/// send five times as much.
const DATABASE_DELAY: Duration = Duration::from_millis(20);
/// Callbacks at a time while it is measured how many can be made durable.
const AT_A_TIME: usize = 128;
/// How long that takes.
const MEASURED_FOR: Duration = Duration::from_secs(5);
/// How long the overload lasts.
const OVERLOADED_FOR: Duration = Duration::from_secs(10);
/// How many times as many.
const TIMES: u32 = 5;
/// A request without an answer after this time is a failure of the platform.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// A callback is answered by 2xx soon again after this time.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// Memory may grow by so much.
const GROWTH_KIB_MAX: u64 = 128 * 1024;

/// What was answered.
#[derive(Default)]
struct Answers {
    /// By status; 0: no answer.
    times: Mutex<BTreeMap<u16, Figures>>,
    /// Refusals that do not say when to come back.
    without_retry_after: AtomicUsize,
}

/// Plays it; what is wrong.
pub(crate) async fn play(world: &World) -> anyhow::Result<Vec<String>> {
    for node in &world.nodes {
        node.disturb(Link::Database, Mode::Slow(DATABASE_DELAY));
    }
    let durable = measure(&world.participants).await;
    let before = peak(world)?;
    println!(
        "{durable} callbacks/s can be made durable; {}/s are sent",
        durable * TIMES
    );
    let answers = overload(&world.participants, durable * TIMES).await?;
    let grown = peak(world)?.saturating_sub(before);
    let ended = Instant::now();
    let mut wrong = Vec::new();
    let recovered = recovery(&world.participants).await;
    for node in &world.nodes {
        node.disturb(Link::Database, Mode::Pass);
    }
    print(&answers);
    println!("peak memory grew by {} MiB", grown / 1024);
    match recovered {
        Some(at) => println!(
            "a callback is accepted again after {:.2} s",
            (at - ended).as_secs_f64()
        ),
        None => wrong.push(format!(
            "no callback is accepted {RECOVERED_WITHIN:?} later"
        )),
    }
    let verdict = judge::round(world, ended).await?;
    if let Some(took) = verdict.recovery {
        println!(
            "everything that was answered 2xx is heard after {:.1} s",
            took.as_secs_f64()
        );
    }
    wrong.extend(verdict.all().cloned());
    wrong.extend(answers.problems());
    if grown > GROWTH_KIB_MAX {
        wrong.push(format!("memory grew by {grown} KiB"));
    }
    Ok(wrong)
}

/// How many are answered 2xx, as fast as they go.
async fn measure(participants: &Arc<Participants>) -> u32 {
    let (done, until) = (AtomicUsize::new(0), Instant::now() + MEASURED_FOR);
    let answers = Answers::default();
    stream::iter(0..AT_A_TIME)
        .for_each_concurrent(None, |number| {
            let (done, answers) = (&done, &answers);
            async move {
                while Instant::now() < until {
                    if pay(participants, number, answers).await {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        })
        .await;
    let done = u64::try_from(done.into_inner()).unwrap_or(u64::MAX);
    u32::try_from(per_second_of(done, MEASURED_FOR)).unwrap_or(u32::MAX)
}

async fn overload(participants: &Arc<Participants>, rate: u32) -> anyhow::Result<Arc<Answers>> {
    ensure!(rate > 0, "nothing can be made durable");
    let answers = Arc::new(Answers::default());
    let tracker = TaskTracker::new();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let until = Instant::now() + OVERLOADED_FOR;
    let mut number = 0;
    while Instant::now() < until {
        ticks.tick().await;
        number += 1;
        let (participants, answers) = (Arc::clone(participants), Arc::clone(&answers));
        tracker.spawn(async move { pay(&participants, number, &answers).await });
    }
    tracker.close();
    timeout(ANSWERED_WITHIN * 2, tracker.wait())
        .await
        .context("requests have no end")?;
    Ok(answers)
}

/// When a callback is accepted again.
async fn recovery(participants: &Arc<Participants>) -> Option<Instant> {
    let answers = Answers::default();
    let accepted = timeout(RECOVERED_WITHIN, async {
        for number in 0.. {
            if pay(participants, number, &answers).await {
                break;
            }
        }
    });
    accepted.await.ok().map(|()| Instant::now())
}

/// Pays once, at one of the terminals, and does not try again; whether it was accepted.
async fn pay(participants: &Participants, number: usize, answers: &Answers) -> bool {
    let shared = &participants.shared;
    // A box of another maker remembers its last messages only.
    let all = participants.all_boxes.listening.iter();
    let listening: Vec<_> = all.filter(|one| one.token.is_some()).collect();
    let (Some(chosen), Some(acquirer)) = (
        listening.get(number % listening.len().max(1)),
        shared.acquirers.first(),
    ) else {
        return false;
    };
    let (place, amount, reference) = (&chosen.place, shared.new_amount(), reference());
    let body = static_success(&place.nmid, &place.label, amount, &reference, clock::now());
    let request = acquirer.sign(body.to_string().as_bytes(), clock::now());
    shared
        .evidence()
        .sale(amount, place.id, None, vec![reference]);
    let began = Instant::now();
    let answer = timeout(ANSWERED_WITHIN, acquirer.try_post(&request)).await;
    let answer = answer.ok().and_then(Result::ok);
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    answers.add(status, began.elapsed());
    if let Some(answer) = &answer
        && [429, 503].contains(&status)
        && answer.header("retry-after").is_none()
    {
        answers.without_retry_after.fetch_add(1, Ordering::Relaxed);
    }
    if status == 200 {
        shared.evidence().answered(amount);
    } else {
        shared.evidence().give_up(amount);
    }
    status == 200
}

fn peak(world: &World) -> anyhow::Result<u64> {
    let node = world.nodes.first().context("no nodes")?;
    node.process()
        .map(NodeProcess::peak_memory_kib)
        .context("it does not run")?
}

impl Answers {
    fn add(&self, status: u16, took: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.entry(status).or_default().add(took);
    }

    fn problems(&self) -> Vec<String> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong: Vec<String> = times
            .iter()
            .filter(|(status, _)| ![200, 429, 503].contains(*status))
            .map(|(status, times)| format!("{} requests were answered {status}", times.len()))
            .collect();
        let without = self.without_retry_after.load(Ordering::Relaxed);
        if without > 0 {
            wrong.push(format!("{without} refusals have no Retry-After"));
        }
        if !times.contains_key(&503) && !times.contains_key(&429) {
            wrong.push("nothing was refused: it was no overload".to_owned());
        }
        wrong
    }
}

fn print(answers: &Answers) {
    let times = answers.times.lock().unwrap_or_else(PoisonError::into_inner);
    print_heading("answers");
    for (status, figures) in times.iter() {
        figures.print(&format!("{status}: {} times", figures.len()));
    }
}
