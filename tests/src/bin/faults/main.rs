//! Injects faults into a platform under traffic, and judges from outside what became of every payment.
//!
//! ```text
//! cargo build --release -p platform -p device-sim -p tests
//! target/release/faults --rounds 1000 --seed 1
//! target/release/faults --plants                      # guards taken away: in which round each is noticed
//! target/release/faults --overload                    # five times as many callbacks as can be made durable
//! ```
//!
//! In each round customers pay at boxes of three kinds (the contract by MQTT, by HTTPS, and another maker's), the acquirer
//! repeats callbacks, others forge them, payments are taken back, the staff commands, configures, moves and settles. A fault
//! begins meanwhile and ends; then everything has to be answered and heard once, and money has to add up. It ends with an
//! error when anything is not as it must be, and with `--plants` when something is and should not be.

mod builder;
mod clock;
mod code;
mod evidence;
mod fault;
mod judge;
mod overload;
mod participants;
mod planted_fault;
mod postgres;
mod proxy;
mod run;
mod shared;
mod suspended_box;
mod table;
mod traffic;
mod world;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::Parser;

use planted_fault::PlantedFault;
use run::Run;
use world::World;

#[derive(Parser)]
struct Args {
    /// How many rounds; with --plants, of each at most.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Repeats a run, as far as timing allows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many processes of the platform.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=5))]
    nodes: u16,
    /// Only faults, or with --plants only guards, whose name contains one of these.
    #[arg(long)]
    only: Vec<String>,
    /// Ends at the first round in which something is wrong.
    #[arg(long)]
    stop_early: bool,
    /// Takes away one guard after the other, and expects that each is noticed.
    #[arg(long)]
    plants: bool,
    /// Sends five times as many callbacks as one process can make durable.
    #[arg(long)]
    overload: bool,
    /// Where the logs of the processes go.
    #[arg(long)]
    logs: Option<PathBuf>,
}

impl Args {
    fn run(&self) -> Run<'_> {
        Run {
            rounds: self.rounds,
            seed: self.seed,
            nodes: self.nodes.into(),
            only: self.only.clone(),
            stop_early: self.stop_early,
            logs: self.logs.as_deref(),
            planted: None,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(logs) = &args.logs {
        std::fs::create_dir_all(logs)?;
    }
    if args.plants {
        return plants(&args).await;
    }
    if args.overload {
        return overload(args.logs.as_deref()).await;
    }
    let outcome = args.run().play().await?;
    ensure!(
        outcome.wrong == 0,
        "{} things are not as they must be",
        outcome.wrong
    );
    Ok(())
}

async fn overload(logs: Option<&Path>) -> anyhow::Result<()> {
    let world = World::start(1, logs).await?;
    let wrong = overload::play(&world).await?;
    world.stop().await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("whatever was answered 2xx is heard, once");
    Ok(())
}

/// Takes away one guard after the other.
async fn plants(args: &Args) -> anyhow::Result<()> {
    let mut table = String::from(
        "| guard | invariants | what was done | caught in round | by |\n|---|---|---|---|---|\n",
    );
    let mut missed = Vec::new();
    let wanted = |planted: &PlantedFault| {
        args.only.is_empty()
            || args
                .only
                .iter()
                .any(|part| planted.name.contains(part.as_str()))
    };
    for planted in planted_fault::ALL.into_iter().filter(wanted) {
        println!("\n{}", planted.name);
        let run = Run {
            only: planted.faults.iter().map(|&part| part.to_owned()).collect(),
            stop_early: true,
            planted: Some(planted),
            ..args.run()
        };
        let (round, by) = match run.play().await?.caught {
            Some((round, by)) => (round.to_string(), by),
            None => {
                missed.push(planted.name);
                ("never".to_owned(), String::new())
            }
        };
        let by: String = by.chars().take(100).collect();
        // Writing into a String does not fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {round} | {by} |",
            planted.name, planted.invariants, planted.what
        );
    }
    println!("\n{table}");
    if !missed.is_empty() {
        bail!("not noticed: {}", missed.join(", "));
    }
    Ok(())
}
