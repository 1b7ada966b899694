//! Prints how long it takes to settle many payments in one run, and whether a `kill -9` in its middle changes anything.
//!
//! ```text
//! cargo run --release -p tests --bin settle -- --merchants 200 --transactions 100000
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres), puts paid
//! transactions with their ledger lines into its database, and starts a run through the API. Then the same again,
//! with the process killed half-way, started again, and a new run. Expected is the plain sum over the payments of each
//! merchant; at the end `platform ledger verify` must find nothing.

mod payments;

use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::{Value, json};
use sqlx::PgPool;
use tests::api::Api;
use tests::server::Server;

#[derive(Parser)]
struct Args {
    /// How many merchants have sold something.
    #[arg(long, default_value_t = 200)]
    merchants: i64,
    /// How many payments are settled in each round.
    #[arg(long, default_value_t = 100_000)]
    transactions: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    let pool = PgPool::connect(&server.demo.database_url).await?;
    payments::open(&pool, args.merchants).await?;
    let transactions = payments::sell(&pool, args.merchants, args.transactions, 1).await?;
    let idle = server.peak_memory_kib()?;

    let began = Instant::now();
    let settled = run(&server.api("finance")?, "undisturbed").await?;
    let took = began.elapsed();
    ensure!(settled == args.merchants, "{settled} settlements were made");
    ensure!(
        payments::is_settled_as_sold(&pool).await?,
        "a settlement is not the sum of its payments"
    );
    println!(
        "{transactions} transactions of {} merchants settled in one run",
        args.merchants
    );
    println!(
        "  {:<38} {:>8.2} s",
        "from request to answer",
        took.as_secs_f64()
    );
    let peak = server.peak_memory_kib()?;
    println!(
        "  {:<38} {:>8} KiB (before: {idle} KiB)",
        "platform's peak resident memory", peak
    );

    payments::sell(&pool, args.merchants, args.transactions, 2).await?;
    let before = payments::settlements(&pool).await?;
    pool.close().await;
    let half = took / 2;
    let api = server.api("finance")?;
    let cut_off = tokio::spawn(async move { run(&api, "cut off").await });
    tokio::time::sleep(half).await;
    server.kill().await?;
    let answered = cut_off.await?.is_ok();
    let server = Server::start(dir.path()).await?;
    let pool = PgPool::connect(&server.demo.database_url).await?;
    let left = payments::settlements(&pool).await? - before;
    let settled = run(&server.api("finance")?, "after").await?;
    ensure!(
        left + settled == args.merchants,
        "{left} and {settled} settlements"
    );
    ensure!(
        payments::is_settled_as_sold(&pool).await?,
        "a settlement is not the sum of its payments"
    );
    println!(
        "killed with SIGKILL {} ms into a run ({}), {left} settlements were there; a new run made {settled}: as undisturbed",
        half.as_millis(),
        if answered {
            "it had been answered"
        } else {
            "it was not answered"
        },
    );
    pool.close().await;
    let findings = server.verify_ledger().await?;
    println!("platform ledger verify: {findings}");
    server.stop().await
}

/// Starts a run of everything; how many settlements it made.
async fn run(api: &Api, key: &str) -> anyhow::Result<i64> {
    let answer = api
        .try_call(
            reqwest::Method::POST,
            "/admin/settlements/run",
            &[("idempotency-key", &key.replace(' ', "-"))],
            Some(json!({}).to_string().into_bytes()),
        )
        .await?;
    ensure!(answer.status == 200, "{answer}");
    let made: Value = answer.data();
    let settlements = made["settlements"].as_array().context("no settlements")?;
    Ok(i64::try_from(settlements.len())?)
}
