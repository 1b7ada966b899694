//! Prints how long every list and the dashboard take when the database is full.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests && target/release/lists
//! ```
//!
//! It starts the `platform` executable beside it with a durable embedded Postgres, fills the database with a large
//! operator's year (one merchant has a tenth of everything) and requests the first page of each list, with each of its filters,
//! and a page deep inside; then every page for people that links lead to, and how large its first answer is. It ends with 1
//! when a list took longer than `--limit-ms` at the 95th percentile, or a page longer than `--page-limit-ms` or more bytes
//! than `--page-limit-kb`.

mod fill;
mod page;
mod questions;

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use tests::api::Api;
use tests::figures::Figures;
use tests::server::Server;
use tokio::time::Instant;

use self::fill::Sizes;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    sizes: Sizes,
    /// How often each is asked.
    #[arg(long, default_value_t = 100)]
    times: usize,
    /// What the 95th percentile may not exceed, milliseconds.
    #[arg(long, default_value_t = 50.0)]
    limit_ms: f64,
    /// The same for pages, milliseconds.
    #[arg(long, default_value_t = 100.0)]
    page_limit_ms: f64,
    /// What a page's first answer may not exceed, kilobytes.
    #[arg(long, default_value_t = 100)]
    page_limit_kb: usize,
    /// Statements that take longer are written to Postgres's log with their plans, milliseconds.
    #[arg(long)]
    explain_ms: Option<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let server = Server::start(dir.path()).await?;
    if let Some(limit) = args.explain_ms {
        fill::explain(&server, limit).await?;
    }
    let start = Instant::now();
    let known = fill::fill(&server, &args.sizes).await?;
    println!("filled in {} s", start.elapsed().as_secs());

    let admin = server.api("admin")?;
    let owner = fill::owner(&server, &admin, &known).await?;
    println!("{:<76} {:>8} {:>8} {:>8}", "", "p50 ms", "p95 ms", "max ms");
    let mut slow = 0;
    for question in questions::all(&known)? {
        let api = if question.starts_with("/merchant/") {
            &owner
        } else {
            &admin
        };
        let figures = ask(api, &question, args.times).await?;
        let p95 = figures.quantile(0.95);
        let late = p95 > args.limit_ms;
        println!(
            "{question:<76} {:>8.1} {p95:>8.1} {:>8.1}{}",
            figures.p50(),
            figures.quantile(1.0),
            if late { "  <- too slow" } else { "" }
        );
        slow += usize::from(late);
    }
    slow += page::measure(&server, &known, &args).await?;
    if args.explain_ms.is_some() {
        // The log goes with the temporary directory.
        println!("plans are in {}", dir.keep().display());
    }
    server.stop().await?;
    println!("{slow} are over the limits");
    Ok(if slow == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Requests once to warm caches, and then `times` times. A path that ends in `cursor=` stands for the page that follows
/// the hundredth.
async fn ask(api: &Api, question: &str, times: usize) -> anyhow::Result<Figures> {
    let path = if question.ends_with("cursor=") {
        deep(api, question).await?
    } else {
        question.to_owned()
    };
    let mut figures = Figures::default();
    for time in 0..=times {
        let start = Instant::now();
        let answer = api.get(&path).await;
        let took = start.elapsed();
        ensure!(answer.status == 200, "{path}: {answer}");
        if time > 0 {
            figures.add(took);
        }
    }
    Ok(figures)
}

/// The address of a page deep inside a list.
async fn deep(api: &Api, question: &str) -> anyhow::Result<String> {
    let mut path = question.replace("cursor=", "");
    for _ in 0..100 {
        let answer = api.get(&path).await;
        ensure!(answer.status == 200, "{path}: {answer}");
        match answer.json()["next_cursor"].as_str() {
            Some(next) => path = format!("{question}{next}"),
            None => break,
        }
    }
    Ok(path)
}
