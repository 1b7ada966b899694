//! Kills the platform under connected boxes and payments, and prints how soon all boxes are back and what was lost.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/restart --boxes 10000 --rate 50
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres, mTLS MQTT), makes
//! the boxes through the public API, lets all of them send heartbeats and pays random ones. Then the process is ended with
//! SIGKILL, with `--postgres` the postmaster too, and started again on the same data directory and ports. Boxes reconnect
//! with the simulator's backoff (`device_sim::link::timing`: 125–250 ms after a connection that was lost, twice as much
//! after each failure up to 4–8 s; `--jitter-s` adds `reconnect_jitter_s` of a box's configuration, which is 0 unless an
//! operator sets it). The acquirer repeats each callback with the same backoff until it is answered, and goes on with
//! new payments. It ends with an error when a box stays away or a payment was lost, heard twice or refused.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use tests::open_files;
use tests::outage_fleet::boxes::{Fleet, Returns};
use tests::outage_fleet::payments::Payments;
use tests::outage_fleet::tally::Tally;
use tests::provision::many;
use tests::server::Server;
use tokio::time::{Instant, sleep};

#[derive(Parser)]
struct Args {
    /// How many boxes are connected.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    boxes: u32,
    /// Payments a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds between two heartbeats of a box.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    every_s: u64,
    /// Seconds of payments before the kill, and after the last box is back.
    #[arg(long, default_value_t = 10)]
    pay_s: u64,
    /// The largest random wait that a box adds before it reconnects (`reconnect_jitter_s`), seconds.
    #[arg(long, default_value_t = 0)]
    jitter_s: u64,
    /// Kill Postgres too.
    #[arg(long)]
    postgres: bool,
    /// All boxes must be back so many seconds after the new process is ready.
    #[arg(long, default_value_t = 120)]
    back_within_s: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    open_files::allow(args.boxes.into())?;
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let (every, jitter) = (
        Duration::from_secs(args.every_s),
        Duration::from_secs(args.jitter_s),
    );
    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let boxes = many(&server, vec![server.mqtt().await?], args.boxes).await?;
    let mut fleet = Fleet::switch_on(boxes, every, jitter, &tally).await?;
    println!(
        "{} boxes made and connected in {} s; a heartbeat of each every {} s, {} payments/s",
        args.boxes,
        started.elapsed().as_secs(),
        args.every_s,
        args.rate
    );
    let payments = Payments::start(
        vec![server.acquirer()],
        fleet.boxes.clone(),
        args.rate,
        &tally,
    );
    sleep(Duration::from_secs(args.pay_s)).await;

    let at = server.addresses().await?;
    let away = fleet.away();
    if away > 0 {
        bail!("{away} boxes lost their connection before the kill");
    }
    let killed = Instant::now();
    if args.postgres {
        server.kill_postgres()?;
    }
    server.kill().await?;
    let server = Server::start_again(dir.path(), at, &[]).await?;
    let ready = Instant::now();
    println!(
        "killed with SIGKILL{}, ready again after {:.1} s",
        if args.postgres { ", Postgres too" } else { "" },
        (ready - killed).as_secs_f64()
    );
    let deadline = ready + Duration::from_secs(args.back_within_s);
    let returns = fleet.all_back(deadline).await;
    sleep(Duration::from_secs(args.pay_s)).await;
    let paid = payments.stop().await;
    tally.wait_until_heard().await;

    returns.print(&[
        ("new process ready → a box is back", ready),
        ("kill → a box is back", killed),
    ]);
    tally.print();
    let mut problems = tally.problems();
    problems.extend(paid.err().map(|error| error.to_string()));
    problems.extend(problem_of(&returns, args.boxes));
    match server.verify_ledger().await {
        Ok(findings) => println!("platform ledger verify: {findings}"),
        Err(error) => problems.push(format!("the ledger: {error}")),
    }
    server.stop().await?;
    if problems.is_empty() {
        println!("all boxes are back, nothing lost, nothing twice");
        return Ok(());
    }
    bail!("{}", problems.join("; "))
}

fn problem_of(returns: &Returns, boxes: u32) -> Option<String> {
    let missing = u64::from(boxes).saturating_sub(returns.count());
    (missing > 0).then(|| format!("{missing} boxes are not back"))
}
