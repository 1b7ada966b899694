//! What a well-behaved box feels of a hostile one: a table of how long an announcement takes from the edge to a box, for
//! 100 boxes left alone and for the same boxes beside each kind of hostile client.
//!
//! `cargo run --release -p broker --example hostile_neighbours -- [SECONDS]` (for each row; default 3). The edge, the
//! boxes and the hostile client share this machine's processors, so the computing that the hostile client itself costs
//! (the other half of every TLS handshake) is in the figures too.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

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
        .map_or(3, |text| text.parse().expect("a number of seconds"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7}",
        "", "p50 ms", "p99 ms", "max ms", "p99 ×"
    );
    let quiet = runtime
        .block_on(measure(None, seconds))
        .row("left alone", None);
    for hostility in Hostility::ALL {
        let took = runtime.block_on(measure(Some(hostility), seconds));
        took.row(hostility.name(), Some(quiet));
    }
    runtime
        .block_on(measure(None, seconds))
        .row("left alone again", Some(quiet));
}

struct Took(Vec<Duration>);

impl Took {
    /// Prints a row and returns its p99.
    fn row(mut self, name: &str, quiet_p99: Option<Duration>) -> Duration {
        self.0.sort_unstable();
        let at = |permille: usize| self.0[(self.0.len() - 1) * permille / 1_000];
        let ms = |took: Duration| decimal(took.as_micros(), 1_000);
        let p99 = at(990);
        let times = quiet_p99.map_or(String::new(), |quiet| {
            decimal(p99.as_micros() * 100 / quiet.as_micros().max(1), 100)
        });
        println!(
            "{name:<44} {:>9} {:>9} {:>9} {times:>7}",
            ms(at(500)),
            ms(p99),
            ms(at(1_000))
        );
        p99
    }
}

/// Two places after the point.
fn decimal(value: u128, unit: u128) -> String {
    let hundredths = value * 100 / unit;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

async fn measure(hostility: Option<Hostility>, seconds: u64) -> Took {
    let world = Arc::new(World::with(Hostility::limits()).await);
    let mut neighbours = Neighbours::gather(&world, BOXES).await;
    let messages = u128::from(seconds) * 1_000 / SPACING.as_millis();
    // Warm.
    neighbours.hear_all(&world, BOXES, SPACING).await;
    let hostile = hostility.map(|hostility| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            loop {
                let held = hostility.act(&world).await;
                // Who holds something open is at it again when that has been held for a while; all else is done again
                // at once.
                if !held.is_empty() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        })
    });
    let took = neighbours.hear_all(&world, messages, SPACING).await;
    if let Some(hostile) = hostile {
        hostile.abort();
    }
    Took(took)
}
