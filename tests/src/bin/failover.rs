//! Kills one of several processes on one database under connected boxes and payments, and prints how soon its boxes are back
//! at the others, and what was lost.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/failover --nodes 3 --boxes 3000 --rate 100
//! ```
//!
//! It starts `platform demo --boxes 0` (durable embedded Postgres) and beside it the other processes (`platform serve`), makes
//! the boxes through the public API and spreads them. A box knows the addresses of all and goes to the next when one fails,
//! with the simulator's backoff; real boxes have a load balancer or a name with several addresses. Callbacks go to all
//! processes in turn, and a repetition to the next. The last process is ended with SIGKILL. It ends with an error when
//! a box stays away or is back too late, or a payment was lost, heard twice or refused.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use sqlx::{Connection as _, PgConnection};
use tests::open_files;
use tests::outage_fleet::boxes::Fleet;
use tests::outage_fleet::payments::Payments;
use tests::outage_fleet::tally::Tally;
use tests::provision::many;
use tests::server::Server;
use tokio::time::{Instant, sleep};

/// How long after the kill is waited for boxes.
const WAITED_FOR: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Args {
    /// How many processes, the one that has the database included.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    nodes: u32,
    /// How many boxes are connected.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..))]
    boxes: u32,
    /// Payments a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds between two heartbeats of a box.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    every_s: u64,
    /// Seconds of payments before the kill, and after the last box is back.
    #[arg(long, default_value_t = 10)]
    pay_s: u64,
    /// `node.lease_s` of the process that is killed and of the others that are started beside the first.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=60))]
    lease_s: u32,
    /// All boxes must be back so many seconds after the kill.
    #[arg(long, default_value_t = 15)]
    back_within_s: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    open_files::allow(args.boxes.into())?;
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let mut others = Vec::new();
    for number in 2..=args.nodes {
        let parts = server.node_parts(&format!("node-{number}"), args.lease_s);
        others.push(parts.start().await?);
    }
    let mut addresses = vec![server.mqtt().await?];
    addresses.extend(others.iter().map(|one| one.mqtt));
    let mut acquirers = vec![server.acquirer()];
    acquirers.extend(others.iter().map(|one| server.acquirer().at(&one.url())));

    let tally = Arc::new(Tally::default());
    let boxes = many(&server, addresses, args.boxes).await?;
    let victim = others.pop().context("no other process")?;
    let lost: Vec<usize> = boxes
        .iter()
        .enumerate()
        .filter(|(_, made)| made.address() == victim.mqtt)
        .map(|(number, _)| number)
        .collect();
    let every = Duration::from_secs(args.every_s);
    let mut fleet = Fleet::switch_on(boxes, every, Duration::ZERO, &tally).await?;
    println!(
        "{} boxes connected to {} processes, {} payments/s; {} boxes are at the process that is killed",
        args.boxes,
        args.nodes,
        args.rate,
        lost.len()
    );
    let payments = Payments::start(acquirers, fleet.boxes.clone(), args.rate, &tally);
    sleep(Duration::from_secs(args.pay_s)).await;
    let away = fleet.away();
    if away > 0 {
        bail!("{away} boxes lost their connection before the kill");
    }

    let killed = Instant::now();
    victim.kill().await?;
    let returns = fleet.back(&lost, killed + WAITED_FOR).await;
    let presence = presence(&server, args.nodes, killed).await?;
    sleep(Duration::from_secs(args.pay_s)).await;
    let paid = payments.stop().await;
    tally.wait_until_heard().await;

    returns.print(&[("kill → a box is back at another process", killed)]);
    println!(
        "the dead process is ended in the database {:.1} s after the kill",
        presence.as_secs_f64()
    );
    tally.print();
    let mut problems = tally.problems();
    problems.extend(paid.err().map(|error| error.to_string()));
    let missing = lost.len().saturating_sub(usize::try_from(returns.count())?);
    if missing > 0 {
        problems.push(format!("{missing} boxes are not back"));
    }
    let took = returns.last().map(|last| last - killed);
    if took.is_some_and(|took| took > Duration::from_secs(args.back_within_s)) {
        problems.push(format!("the last box was back after {took:.1?}"));
    }
    match server.verify_ledger().await {
        Ok(findings) => println!("platform ledger verify: {findings}"),
        Err(error) => problems.push(format!("the ledger: {error}")),
    }
    for one in others {
        one.stop().await?;
    }
    server.stop().await?;
    if problems.is_empty() {
        println!("all boxes are back, nothing lost, nothing twice");
        return Ok(());
    }
    bail!("{}", problems.join("; "))
}

/// How long after the kill the process was ended, by another, in the database.
async fn presence(server: &Server, nodes: u32, killed: Instant) -> anyhow::Result<Duration> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    let name = format!("node-{nodes}");
    while killed.elapsed() < WAITED_FOR {
        let ended: bool =
            sqlx::query_scalar("SELECT ended_at IS NOT NULL FROM nodes WHERE name = $1")
                .bind(&name)
                .fetch_one(&mut conn)
                .await?;
        if ended {
            let after: f64 = sqlx::query_scalar(
                "SELECT extract(epoch FROM clock_timestamp() - ended_at)::float8 FROM nodes WHERE name = $1",
            )
            .bind(&name)
            .fetch_one(&mut conn)
            .await?;
            return Ok(killed
                .elapsed()
                .saturating_sub(Duration::from_secs_f64(after)));
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the dead process is not ended in the database")
}
