//! Prints how long it takes from an acquirer's callback to a box's hands, on a real platform.
//!
//! ```text
//! cargo run --release -p tests --bin latency -- --boxes 100,1000 --payments 500 --rate 50
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres,
//! HTTPS and mTLS MQTT), makes as many boxes as asked through the public API, keeps them all connected
//! and pays random ones at a steady rate. Measured against what it stands on, in the same run: one
//! fsynced commit on the same Postgres and, where Mosquitto is installed, one QoS 1 hop through it with
//! the same certificates.

mod boxes;
mod legs;
mod peers;

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use tests::server::Server;

use self::boxes::Fleet;

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
    let commit = peers::commit(&server, 300)
        .await
        .context("cannot measure a commit")?;
    commit.print("one fsynced commit, same Postgres");
    let hop = if args.no_mosquitto {
        None
    } else {
        peers::mosquitto_hop(&server, dir.path(), 300).await?
    };
    match &hop {
        Some(hop) => hop.print("one Mosquitto QoS 1 hop, same certificates"),
        None => println!("Mosquitto is not installed or was left out"),
    }
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
    server.stop().await
}
