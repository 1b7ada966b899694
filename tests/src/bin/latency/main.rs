//! Prints how long it takes from an acquirer's callback to a box's hands, on a real platform.
//!
//! ```text
//! cargo run --release -p tests --bin latency -- --boxes 100,1000 --payments 500 --rate 50
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres,
//! HTTPS and mTLS MQTT), makes as many boxes as asked through the public API, keeps them all connected
//! and pays random ones at a steady rate. The baseline, in the same run: one
//! fsynced commit on the same Postgres and, where Mosquitto is installed, one QoS 1 hop through it with
//! the same certificates. At the end payments come as fast as they are answered, compared with rows written
//! one by one, and then connections, compared with Mosquitto's.

mod boxes;
mod commit;
mod connects;
mod legs;
mod mosquitto;

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use tests::commits;
use tests::server::Server;

use self::boxes::Fleet;
use self::mosquitto::Mosquitto;

/// Concurrent callbacks in the flood.
const ACQUIRERS: usize = 16;

#[derive(Parser)]
struct Args {
    /// How many boxes are connected; one table row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    boxes: Vec<usize>,
    /// Payments measured in each row.
    #[arg(long, default_value_t = 500)]
    payments: usize,
    /// Payments a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Payments that come as fast as they are answered, before connections do the same; 0: leave both out.
    #[arg(long, default_value_t = 5_000)]
    flood: usize,
    /// Leave Mosquitto out.
    #[arg(long)]
    no_mosquitto: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50 ms", "p99 ms", "max ms");
    let commit = commit::alone(&server, 300)
        .await
        .context("cannot measure a commit")?;
    commit.print("one fsynced commit, same Postgres");
    let mosquitto = if args.no_mosquitto {
        None
    } else {
        Mosquitto::start(&server, dir.path()).await?
    };
    let hop = match &mosquitto {
        Some(mosquitto) => {
            let hop = mosquitto.hop(300).await?;
            hop.print("one Mosquitto QoS 1 hop, same certificates");
            Some(hop)
        }
        None => {
            println!("Mosquitto is not installed or was left out");
            None
        }
    };
    let mut fleet = Fleet::default();
    for count in &args.boxes {
        fleet.grow(&server, *count).await?;
        let figures = fleet
            .pay(&server, args.payments, Duration::from_secs(1) / args.rate)
            .await?;
        println!(
            "{} boxes connected, {} payments at {}/s",
            fleet.len(),
            args.payments,
            args.rate
        );
        figures.print(&commit, hop.as_ref());
    }
    if args.flood > 0 {
        flood(&server, &mut fleet, args.flood).await?;
        connects::print(&server, mosquitto.as_ref()).await?;
    }
    server.stop().await
}

/// How many callbacks a second are durable, and how many rows one by one.
async fn flood(server: &Server, fleet: &mut Fleet, payments: usize) -> anyhow::Result<()> {
    let callbacks = fleet.flood(server, payments, ACQUIRERS).await?;
    let commits = commits::per_second(server, ACQUIRERS, Duration::from_secs(5)).await?;
    println!("{payments} payments as fast as they go, {ACQUIRERS} at a time");
    println!(
        "{:<44} {callbacks:>8}/s",
        "  callbacks answered after their commit"
    );
    println!(
        "{:<44} {commits:>8}/s",
        "  one row a commit, as many connections"
    );
    Ok(())
}
