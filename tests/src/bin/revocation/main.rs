//! Revokes boxes under load, and prints how long their sessions lasted and what was taken after their end.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/revocation --boxes 1000 --rate 500 --revoke 100
//! ```
//!
//! It starts the `platform` executable beside it, connects boxes over mTLS, makes heartbeats (QoS 1, acknowledged when
//! durable) and payments (announced, acknowledged) at a steady rate, and suspends random boxes meanwhile. A suspended box
//! goes on sending and reconnecting for as long as the program runs. Ends with 1 when a session lasted for a second or
//! more after the PATCH was answered, or when anything was taken after its end.

mod boxes;
mod crossed;
mod load;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::seq::IteratorRandom as _;
use serde_json::json;
use tests::api::Api;
use tests::figures::{Figures, print_heading};
use tests::server::Server;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::DeviceId;

use self::boxes::{Live, Seen, What};
use self::load::Load;
use tests::provision::Provisioned;

/// The longest that a session may last.
const SESSION_MAX: Duration = Duration::from_secs(1);
/// How many boxes are made at a time.
const AT_A_TIME: usize = 16;
/// For how long the load goes on after the last revocation, so that late messages are seen.
const AFTERMATH: Duration = Duration::from_secs(3);

#[derive(Parser)]
struct Args {
    /// How many boxes are connected.
    #[arg(long, default_value_t = 1000)]
    boxes: usize,
    /// Messages a second in all: heartbeats, and payments among them.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Payments a second; each is a callback, an announcement and an acknowledgement.
    #[arg(long, default_value_t = 50)]
    payments: u32,
    /// How many boxes are revoked.
    #[arg(long, default_value_t = 100)]
    revoke: usize,
    /// Milliseconds between two revocations.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    every_ms: u64,
}

/// A PATCH that was answered.
struct Revoked {
    device_id: DeviceId,
    answered: Instant,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if args.revoke > args.boxes || args.payments > args.rate {
        bail!("--revoke is at most --boxes, and --payments at most --rate");
    }
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let passed = run(&server, &args).await?;
    server.stop().await?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run(server: &Server, args: &Args) -> anyhow::Result<bool> {
    let admin = server.api("admin")?;
    let outlet = server.outlet()?;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let start = Instant::now();
    let boxes: Vec<Live> = stream::iter(0..args.boxes)
        .map(|number| {
            let (admin, sender) = (admin.clone(), sender.clone());
            async move {
                let made = Provisioned::new(server, &admin, number, Some(outlet)).await?;
                Live::switch_on(made, sender).await
            }
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    println!(
        "{} boxes connected after {} s; {} messages a second ({} of them payments)",
        boxes.len(),
        start.elapsed().as_secs(),
        args.rate,
        args.payments
    );
    let load = Load::start(server, &boxes, args.rate, args.payments).await?;
    let observed = revoke(args, &admin, &boxes, &mut seen).await?;
    let sent = load.stop().await?;
    let revoked: Vec<DeviceId> = observed.revoked.keys().copied().collect();
    let stored = crossed::count(server, &revoked).await?;
    Ok(report(args, &observed, sent, stored))
}

/// What was observed of the revoked boxes.
#[derive(Default)]
struct Observed {
    /// When each PATCH was answered.
    revoked: HashMap<DeviceId, Instant>,
    /// When each session ended, as the box saw it.
    ended: HashMap<DeviceId, Instant>,
    heard: u64,
    heard_after_the_end: u64,
    came_back: u64,
    refused: u64,
}

impl Observed {
    fn note(&mut self, seen: &Seen) {
        match seen.what {
            What::Ended => {
                self.ended.entry(seen.device_id).or_insert(seen.at);
            }
            What::Heard => {
                self.heard += 1;
                let over = self.ended.get(&seen.device_id);
                self.heard_after_the_end += u64::from(over.is_some_and(|end| *end < seen.at));
            }
            What::CameBack => self.came_back += 1,
            What::Refused => self.refused += 1,
        }
    }

    fn is_complete(&self, count: usize) -> bool {
        self.revoked.len() == count && self.revoked.keys().all(|id| self.ended.contains_key(id))
    }
}

/// Suspends random boxes, one every period, and watches until all of their sessions are over, and for a while longer.
async fn revoke(
    args: &Args,
    admin: &Api,
    boxes: &[Live],
    seen: &mut mpsc::UnboundedReceiver<Seen>,
) -> anyhow::Result<Observed> {
    let chosen = boxes.iter().sample(&mut rand::rng(), args.revoke);
    let mut chosen = chosen.into_iter();
    let (answers, mut answered) = mpsc::unbounded_channel::<anyhow::Result<Revoked>>();
    let mut ticks = interval(Duration::from_millis(args.every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut observed = Observed::default();
    let mut until = None;
    loop {
        if until.is_none() && observed.is_complete(args.revoke) {
            until = Some(Instant::now() + AFTERMATH);
        }
        let give_up = Duration::from_secs(10);
        let deadline = until.unwrap_or_else(|| Instant::now() + give_up);
        tokio::select! {
            _ = ticks.tick(), if chosen.len() > 0 => {
                if let Some(next) = chosen.next() {
                    tokio::spawn(suspend(admin.clone(), next.device_id, answers.clone()));
                }
            }
            Some(revoked) = answered.recv() => {
                let revoked = revoked?;
                observed.revoked.insert(revoked.device_id, revoked.answered);
            }
            Some(seen) = seen.recv() => observed.note(&seen),
            () = tokio::time::sleep_until(deadline) => break,
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    Ok(observed)
}

async fn suspend(
    admin: Api,
    device_id: DeviceId,
    answers: mpsc::UnboundedSender<anyhow::Result<Revoked>>,
) {
    let path = format!("/admin/devices/{device_id}");
    let answer = admin.patch(&path, &json!({ "status": "suspended" })).await;
    let answered = Instant::now();
    let revoked = match answer.status {
        200 => Ok(Revoked {
            device_id,
            answered,
        }),
        _ => Err(anyhow::anyhow!("the PATCH was answered {answer}")),
    };
    let _ = answers.send(revoked);
}

/// Prints the results; whether they are within the limits.
fn report(args: &Args, observed: &Observed, sent: load::Sent, stored: crossed::Stored) -> bool {
    let (mut times, mut longest) = (Figures::default(), Duration::ZERO);
    for (device_id, answered) in &observed.revoked {
        if let Some(end) = observed.ended.get(device_id) {
            let lived = end.saturating_duration_since(*answered);
            times.add(lived);
            longest = longest.max(lived);
        }
    }
    print_heading("");
    times.print("the PATCH's answer → the end of the session");
    println!(
        "{} sessions revoked, {} ended; {} heartbeats sent, {} payments made, {} messages heard",
        observed.revoked.len(),
        times.len(),
        sent.heartbeats,
        sent.payments,
        observed.heard
    );
    println!(
        "after the end: {} heard, {} heartbeats stored, {} acknowledgements stored; {} of {} reconnects admitted",
        observed.heard_after_the_end,
        stored.heartbeats,
        stored.acknowledgements,
        observed.came_back,
        observed.came_back + observed.refused
    );
    let crossed = observed.heard_after_the_end
        + stored.heartbeats
        + stored.acknowledgements
        + observed.came_back;
    observed.is_complete(args.revoke) && longest < SESSION_MAX && crossed == 0
}
