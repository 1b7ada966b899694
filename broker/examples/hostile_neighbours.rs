//! How hostile clients affect other boxes: a table of the latency of a notification from the edge to a box, for 100 boxes
//! alone, beside each kind of hostile client, and, to separate the edge from the machine, beside the same client at
//! another edge on the same processors.
//!
//! `cargo run --release -p broker --example hostile_neighbours -- [ROUNDS]` (of one second for each figure; default 5). The
//! three figures of a row alternate second by second, because the machine's other load changes. The hostile client's own
//! work (the other half of every TLS handshake) runs at idle priority, because in production another machine does it.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot continue has failed"
)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

// The same boxes and hostile clients as in tests/edge.
#[path = "../tests/edge/common/mod.rs"]
#[expect(dead_code, reason = "tests/edge uses more of it")]
mod common;

use common::World;
use common::hostility::Hostility;
use common::neighbours::Neighbours;

const BOXES: u128 = 100;
/// 500 notifications a second.
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
        "milliseconds: p50 / p99 / max; then the 99th percentile beside the client, relative to the others"
    );
    println!(
        "{:<40} {:>20} {:>20} {:>20} {:>11} {:>12}",
        "", "alone", "other edge", "same edge", "to alone", "to other"
    );
    for hostility in [None].into_iter().chain(Hostility::ALL.map(Some)) {
        let measured = measure(hostility, rounds, elsewhere.handle(), other_edge.handle());
        let [alone, apart, beside] = runtime.block_on(measured);
        let name = hostility.map_or("no client (the noise of the measurement)", Hostility::name);
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

/// Lets this thread run only when its processor is idle. (With `nice` alone it would finish its time slice.)
fn give_way() {
    let thread = rustix::thread::gettid().to_string();
    let idle = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .status();
    if !idle.is_ok_and(|status| status.success()) {
        eprintln!("chrt does not work here: the hostile client competes for the processors");
    }
}

/// The latencies, sorted.
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

/// With two decimal places.
fn decimal(value: u128, unit: u128) -> String {
    let hundredths = value * 100 / unit;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The same boxes: alone, beside the hostile client at the other edge, and beside it at the same edge.
async fn measure(
    hostility: Option<Hostility>,
    rounds: u32,
    elsewhere: &Handle,
    other_edge: &Handle,
) -> [Took; 3] {
    let world = Arc::new(World::with(Hostility::shorten).await);
    let other = other_edge.spawn(async { Arc::new(World::with(Hostility::shorten).await) });
    let other = other.await.unwrap();
    let mut neighbours = Neighbours::gather(&world, BOXES).await;
    // Warm-up.
    neighbours.deliver_all(&world, BOXES, SPACING).await;
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (took, victim) in took.iter_mut().zip([None, Some(&other), Some(&world)]) {
            let hostile = hostility
                .zip(victim)
                .map(|(hostility, victim)| elsewhere.spawn(keep_on(hostility, Arc::clone(victim))));
            took.extend(neighbours.deliver_all(&world, ROUND, SPACING).await);
            if let Some(hostile) = hostile {
                hostile.abort();
                // Its connections are closed; wait until the edge has handled that.
                let _ = hostile.await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    took.map(Took::new)
}

async fn keep_on(hostility: Hostility, world: Arc<World>) {
    loop {
        let open = hostility.act(&world).await;
        // A client that keeps connections open keeps them; any other acts again at once.
        if !open.is_empty() {
            std::future::pending::<()>().await;
        }
    }
}
