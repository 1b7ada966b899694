//! One run on one build.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use tests::commits;
use tests::mosquitto::Mosquitto;
use tests::server::Server;

use crate::boxes::Fleet;
use crate::results::Results;
use crate::{Args, commit, connects};

/// Connections that write single rows, for comparison.
const WRITERS: usize = 16;

/// Measures what the arguments ask for, and prints it.
pub(crate) async fn run(executable: &Path, args: &Args) -> anyhow::Result<Results> {
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start_executable(executable, dir.path()).await?;
    let mut results = Results::default();
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50 ms", "p99 ms", "max ms");
    let commit = commit::alone(&server, 300)
        .await
        .context("cannot measure a commit")?;
    commit.print("one fsynced commit, same Postgres");
    let mosquitto = if args.no_mosquitto {
        None
    } else {
        Mosquitto::start(&server.data_dir.join("pki"), dir.path()).await?
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
    warm_up(&server, &mut fleet).await?;
    for count in &args.boxes {
        fleet.grow(&server, *count).await?;
        for rate in &args.rate {
            let period = Duration::from_secs(1) / *rate;
            let figures = fleet.pay(&server, args.payments, period).await?;
            let row = format!("{} boxes, {rate}/s", fleet.len());
            println!("{row}, {} payments", args.payments);
            figures.print(&row, &commit, hop.as_ref(), &mut results);
        }
    }
    if args.flood > 0 {
        for acquirers in &args.acquirers {
            flood(&server, &mut fleet, args.flood, *acquirers, &mut results).await?;
        }
        let commits = commits::per_second(&server, WRITERS, Duration::from_secs(5)).await?;
        println!(
            "{:<44} {commits:>8}/s",
            format!("one row a commit, {WRITERS} connections")
        );
        results.add_count("one row a commit, commits/s", commits);
        connects::print(&server, mosquitto.as_ref(), &mut results).await?;
    }
    server.stop().await?;
    Ok(results)
}

/// Some payments that are not measured, and statistics: Postgres makes plans for a database with payments in it, as
/// autovacuum has it do after a minute.
async fn warm_up(server: &Server, fleet: &mut Fleet) -> anyhow::Result<()> {
    fleet.grow(server, 16).await?;
    fleet.pay(server, 200, Duration::from_millis(10)).await?;
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    sqlx::query("ANALYZE").execute(&mut conn).await?;
    Ok(())
}

/// How many callbacks a second are durable, and what each costs.
async fn flood(
    server: &Server,
    fleet: &mut Fleet,
    payments: usize,
    acquirers: usize,
    results: &mut Results,
) -> anyhow::Result<()> {
    let (callbacks, costs) = fleet.flood(server, payments, acquirers).await?;
    println!("{payments} payments as fast as they go, {acquirers} at a time");
    println!(
        "{:<44} {callbacks:>8}/s",
        "  callbacks answered after their commit"
    );
    println!(
        "{:<44} {:>8} µs platform, {} µs Postgres, {} bytes of WAL",
        "  each, until played is durable", costs.platform_us, costs.postgres_us, costs.wal_bytes
    );
    let mut add = |what: &str, figure: u128| {
        results.add_count(format!("{acquirers} at a time: {what}"), figure)
    };
    add("callbacks/s", callbacks);
    add("platform, µs a payment", costs.platform_us.into());
    add("Postgres, µs a payment", costs.postgres_us.into());
    add("WAL, bytes a payment", costs.wal_bytes.into());
    Ok(())
}
