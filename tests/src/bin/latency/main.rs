//! Prints how long it takes from an acquirer's callback to a box's hands, and what that costs, on a real platform.
//!
//! ```text
//! cargo run --release -p tests --bin latency -- --boxes 100,1000 --payments 500 --rate 50,200
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres, HTTPS and mTLS
//! MQTT) and makes as many boxes as asked through the public API. The floors: one fsynced commit on the same Postgres and,
//! where Mosquitto is installed, one QoS 1 hop through it with the same certificates. Then payments come as fast as they
//! are answered, compared with rows written one by one, and connections, compared with Mosquitto's. Then each row: so many
//! boxes are connected, and random ones are paid at a steady rate; the fleet grows from row to row. With `--plain-bridge`
//! the same is asked of what a team would assemble without this product; with `--viewers` each row is repeated beside open pages. Last the platform is started again with a
//! collector of traces, and each row is repeated, split into steps. With `--compare` another build of the platform takes turns with it,
//! and the medians of both are printed side by side. With `--nodes 2` it only measures boxes that are spread over two processes on
//! one database, with all callbacks to one of them.

mod baseline;
mod commit;
mod connects;
mod costs;
mod fleet;
mod floors;
mod legs;
mod listener;
mod load;
mod markdown;
mod measured;
mod nodes;
mod payments;
mod plain;
mod results;
mod run;
mod split;
mod viewers;

use std::path::PathBuf;

use anyhow::bail;
use clap::Parser;
use tests::open_files;
use tests::server::executable;

use self::load::Rate;
use self::results::{Results, compare};

#[derive(Parser)]
struct Args {
    /// How many boxes are connected; a row for each and each rate. Floods are of the smallest number.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    boxes: Vec<usize>,
    /// Payments measured in each row.
    #[arg(long, default_value_t = 500)]
    payments: usize,
    /// Payments a second; `half`: half of the highest rate at which callbacks of this run's floods were answered.
    #[arg(long, value_delimiter = ',', default_value = "50")]
    rate: Vec<Rate>,
    /// Payments that come as fast as they are answered, before connections do the same; 0: leave both out.
    #[arg(long, default_value_t = 5_000)]
    flood: usize,
    /// How many callbacks are under way at a time in the flood.
    #[arg(long, value_delimiter = ',', default_values_t = [16])]
    acquirers: Vec<usize>,
    /// Leave Mosquitto out.
    #[arg(long)]
    no_mosquitto: bool,
    /// Also measure the plain bridge (`plain-bridge`), with the boxes and the rate of the first row, and end it with
    /// SIGKILL so many times under payments.
    #[arg(long, value_name = "KILLS")]
    plain_bridge: Option<usize>,
    /// Also measure each row beside so many people who watch *Now*.
    #[arg(long, value_name = "PEOPLE")]
    viewers: Option<usize>,
    /// The executable of another build, to take turns with.
    #[arg(long)]
    compare: Option<PathBuf>,
    /// How often each build is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// 2: only measure boxes that are spread over two processes on one database, with all callbacks to one of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    nodes: u32,
    /// Also print each run of this build as tables for docs/performance.md.
    #[arg(long)]
    markdown: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.rate.contains(&Rate::Half) && (args.flood == 0 || args.acquirers.is_empty()) {
        bail!("--rate half is half of what a flood reaches: leave --flood 0 out");
    }
    let boxes = args.boxes.iter().copied().max().unwrap_or_default();
    open_files::allow(u64::try_from(boxes)?)?;
    let ours = executable()?;
    if args.nodes == 2 {
        return nodes::run(&ours, &args).await;
    }
    let (mut this, mut other): (Vec<Results>, Vec<Results>) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        if let Some(another) = &args.compare {
            println!("== {}", another.display());
            other.push(run::run(another, &args).await?.results());
            println!("== {}", ours.display());
        }
        let measured = run::run(&ours, &args).await?;
        if args.markdown {
            markdown::print(&measured, args.payments);
        }
        this.push(measured.results());
    }
    if !other.is_empty() {
        compare(&this, &other);
    }
    Ok(())
}
