//! Heartbeats of a fleet while payments are made, on a real platform: is there a backlog, is anything lost?
//!
//! ```text
//! cargo run --release -p tests --bin heartbeats -- --boxes 10000 --every-s 30 --for-s 600 --payments-per-s 50
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres, mTLS MQTT),
//! makes the boxes through the public API, keeps all of them connected and sending heartbeats, and pays some of them at a
//! steady rate. Then a smaller fleet sends heartbeats as fast as possible, compared with the same rows written one by one.
//! It ends with an error when a heartbeat was not acknowledged or is not in Postgres, when heartbeats waited longer than
//! `--late-ms`, or when a payment did not arrive.

mod fleet;
mod flood;
mod payments;
mod report;

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use sqlx::{Connection as _, PgConnection};
use tests::server::Server;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::fleet::Fleet;
use self::payments::Payments;
use self::report::Report;

#[derive(Parser)]
struct Args {
    /// How many boxes are connected and send heartbeats.
    #[arg(long, default_value_t = 10_000)]
    boxes: usize,
    /// How many of them are bound to a terminal and paid.
    #[arg(long, default_value_t = 200)]
    paid_boxes: usize,
    /// Seconds between two heartbeats of a box.
    #[arg(long, default_value_t = 30)]
    every_s: u64,
    /// How long, seconds.
    #[arg(long, default_value_t = 60)]
    for_s: u64,
    /// Payments a second; 0: none.
    #[arg(long, default_value_t = 50)]
    payments_per_s: u32,
    /// Seconds of heartbeats as fast as possible afterwards; 0: none.
    #[arg(long, default_value_t = 5)]
    flood_s: u64,
    /// A 99th percentile of heartbeats above this is a backlog, milliseconds.
    #[arg(long, default_value_t = 5_000)]
    late_ms: u32,
    /// Seconds between two lines.
    #[arg(long, default_value_t = 10)]
    line_every_s: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.every_s == 0 || args.line_every_s == 0 || args.paid_boxes > args.boxes {
        bail!("intervals are at least a second, and paid boxes are among the boxes");
    }
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let mut database = PgConnection::connect(&server.demo.database_url).await?;
    let started = Instant::now();
    let mut report = Report::default();
    let fleet = Fleet::switch_on(&server, args.boxes, args.paid_boxes, &report).await?;
    println!(
        "{} boxes made and connected in {} s; a heartbeat of each every {} s for {} s, and {} payments/s to {} of them",
        args.boxes,
        started.elapsed().as_secs(),
        args.every_s,
        args.for_s,
        args.payments_per_s,
        args.paid_boxes
    );
    fleet.beat_every(Duration::from_secs(args.every_s));
    let payments = Payments::start(&server, &fleet, args.payments_per_s, &report);
    let mut lines = interval(Duration::from_secs(args.line_every_s));
    lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
    lines.tick().await;
    let end = Instant::now() + Duration::from_secs(args.for_s);
    while Instant::now() < end {
        tokio::select! {
            _ = lines.tick() => {}
            () = tokio::time::sleep_until(end) => {}
        }
        report.collect();
        report.line(&mut database).await?;
    }
    payments.stop();
    fleet.stop_beating();
    report.wait_for_the_rest().await;
    report.print();
    let mut problems = report.problems(&mut database, args.late_ms).await?;
    drop(fleet);
    if args.flood_s > 0 {
        let time = Duration::from_secs(args.flood_s);
        problems.extend(flood::run(&server, &mut database, time).await?);
    }
    database.close().await?;
    server.stop().await?;
    if problems.is_empty() {
        println!("no backlog, nothing lost");
        return Ok(());
    }
    bail!("{}", problems.join("; "))
}
