//! What a well-behaved box feels of a hostile one: a table of how long an announcement takes from the edge to a box, for
//! 100 boxes left alone and for the same boxes beside each kind of hostile client.
//!
//! `cargo run --release -p broker --example hostile_neighbours -- [SECONDS]` (for each figure; default 2). Each
//! row first leaves its boxes alone for as long. The edge, the boxes and the hostile client share this machine's
//! processors; what the hostile client itself computes (the other half of every TLS handshake) gives way to the rest, for
//! elsewhere it would be another machine's work.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

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

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .map_or(2, |text| text.parse().expect("a number of seconds"));
    let runtime = Runtime::new().unwrap();
    let elsewhere = Builder::new_multi_thread()
        .enable_all()
        // On Linux a thread is as nice as it says itself.
        .on_thread_start(|| {
            let _ = rustix::process::nice(19);
        })
        .build()
        .unwrap();
    println!("milliseconds: p50 / p99 / max");
    println!(
        "{:<40} {:>22} {:>22} {:>7}",
        "", "left alone", "beside it", "p99 ×"
    );
    for hostility in [None].into_iter().chain(Hostility::ALL.map(Some)) {
        let (quiet, beside) = runtime.block_on(measure(hostility, seconds, elsewhere.handle()));
        let times = beside.at(990).as_micros() * 100 / quiet.at(990).as_micros().max(1);
        let name = hostility.map_or("nobody (what two measurements differ by)", Hostility::name);
        println!(
            "{name:<40} {:>22} {:>22} {:>7}",
            quiet.row(),
            beside.row(),
            decimal(times, 100)
        );
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

/// The same boxes, first left alone and then beside the hostile client: what else the machine does changes from minute
/// to minute.
async fn measure(hostility: Option<Hostility>, seconds: u64, elsewhere: &Handle) -> (Took, Took) {
    let world = Arc::new(World::with(Hostility::limits()).await);
    let mut neighbours = Neighbours::gather(&world, BOXES).await;
    let messages = u128::from(seconds) * 1_000 / SPACING.as_millis();
    // Warm.
    neighbours.hear_all(&world, BOXES, SPACING).await;
    let quiet = neighbours.hear_all(&world, messages, SPACING).await;
    let hostile = hostility.map(|hostility| {
        let world = Arc::clone(&world);
        elsewhere.spawn(async move {
            loop {
                let held = hostility.act(&world).await;
                // Whoever holds something open holds it; all else is done again at once.
                if !held.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
        })
    });
    let beside = neighbours.hear_all(&world, messages, SPACING).await;
    if let Some(hostile) = hostile {
        hostile.abort();
    }
    (Took::new(quiet), Took::new(beside))
}
