//! What a well-behaved box feels of a hostile one: a table of how long an announcement takes from the edge to a box, for
//! 100 boxes left alone, beside each kind of hostile client, and, to tell the edge from the machine, beside the same
//! client at another edge on the same processors.
//!
//! `cargo run --release -p broker --example hostile_neighbours -- [ROUNDS]` (of one second for each figure; default 5). The
//! three figures of a row take turns second by second, for what else the machine does changes from minute to minute. What
//! the hostile client itself computes (the other half of every TLS handshake) runs only where nothing else wants to, for
//! elsewhere it would be another machine's work.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

// The stories of tests/edge are told with the same boxes and the same hostile clients.
#[path = "../tests/edge/common/mod.rs"]
#[expect(dead_code, reason = "the stories use more of it")]
mod common;

use common::World;
use common::hostility::Hostility;
use common::neighbours::Neighbours;

const BOXES: u128 = 100;
/// 500 announcements a second.
const SPACING: Duration = Duration::from_millis(2);
const ROUND: u128 = 500;

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(5, |text| text.parse().expect("a number of rounds"));
    let runtime = Runtime::new().unwrap();
    let elsewhere = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(give_way)
        .build()
        .unwrap();
    let other_edge = Runtime::new().unwrap();
    println!(
        "milliseconds: p50 / p99 / max; then by how much the 99th percentile is longer beside it"
    );
    println!(
        "{:<40} {:>20} {:>20} {:>20} {:>11} {:>12}",
        "", "left alone", "at another edge", "beside it", "than alone", "than at that"
    );
    for hostility in [None].into_iter().chain(Hostility::ALL.map(Some)) {
        let measured = measure(hostility, rounds, elsewhere.handle(), other_edge.handle());
        let [alone, apart, beside] = runtime.block_on(measured);
        let name = hostility.map_or("nobody (what measurements differ by)", Hostility::name);
        println!(
            "{name:<40} {:>20} {:>20} {:>20} {:>11} {:>12}",
            alone.row(),
            apart.row(),
            beside.row(),
            beside.times(&alone),
            beside.times(&apart)
        );
    }
}

/// This thread computes when nobody else on its processor wants to. (A nice one would be left to finish its turn.)
fn give_way() {
    let thread = rustix::thread::gettid().to_string();
    let idle = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .status();
    if !idle.is_ok_and(|status| status.success()) {
        eprintln!("chrt does not work here: the hostile client takes its share of the processors");
    }
}

/// How long the announcements took, sorted.
struct Took(Vec<Duration>);

impl Took {
    fn new(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    fn at(&self, permille: usize) -> Duration {
        self.0[(self.0.len() - 1) * permille / 1_000]
    }

    fn times(&self, other: &Self) -> String {
        let times = self.at(990).as_micros() * 100 / other.at(990).as_micros().max(1);
        decimal(times, 100)
    }

    fn row(&self) -> String {
        let [p50, p99, max] =
            [500, 990, 1_000].map(|permille| decimal(self.at(permille).as_micros(), 1_000));
        format!("{p50} / {p99} / {max}")
    }
}

/// Two places after the point.
fn decimal(value: u128, unit: u128) -> String {
    let hundredths = value * 100 / unit;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The same boxes, left alone, beside the hostile client at the other edge, and beside it at theirs.
async fn measure(
    hostility: Option<Hostility>,
    rounds: u32,
    elsewhere: &Handle,
    other_edge: &Handle,
) -> [Took; 3] {
    let world = Arc::new(World::with(Hostility::limits()).await);
    let other = other_edge.spawn(async { Arc::new(World::with(Hostility::limits()).await) });
    let other = other.await.unwrap();
    let mut neighbours = Neighbours::gather(&world, BOXES).await;
    // Warm.
    neighbours.hear_all(&world, BOXES, SPACING).await;
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (took, victim) in took.iter_mut().zip([None, Some(&other), Some(&world)]) {
            let hostile = hostility
                .zip(victim)
                .map(|(hostility, victim)| elsewhere.spawn(keep_on(hostility, Arc::clone(victim))));
            took.extend(neighbours.hear_all(&world, ROUND, SPACING).await);
            if let Some(hostile) = hostile {
                hostile.abort();
                // What it held is closed, and what that causes is over.
                let _ = hostile.await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    took.map(Took::new)
}

async fn keep_on(hostility: Hostility, world: Arc<World>) {
    loop {
        let held = hostility.act(&world).await;
        // Whoever holds something open holds it; all else is done again at once.
        if !held.is_empty() {
            std::future::pending::<()>().await;
        }
    }
}
