//! Prints how long it takes from an acquirer's callback to a box's hands, and what that costs, on a real platform.
//!
//! ```text
//! cargo run --release -p tests --bin latency -- --boxes 100,1000 --payments 500 --rate 50,200
//! ```
//!
//! It starts the `platform` executable beside it (`platform demo --boxes 0`, durable embedded Postgres,
//! HTTPS and mTLS MQTT), makes as many boxes as asked through the public API, keeps them all connected
//! and pays random ones at steady rates. The baseline, in the same run: one
//! fsynced commit on the same Postgres and, where Mosquitto is installed, one QoS 1 hop through it with
//! the same certificates. At the end payments come as fast as they are answered, compared with rows written
//! one by one, and then connections, compared with Mosquitto's. With `--compare` another build of the platform
//! takes turns with it, and the medians of both are printed side by side.

mod boxes;
mod commit;
mod connects;
mod costs;
mod legs;
mod results;
mod run;

use std::path::PathBuf;

use clap::Parser;
use tests::server::executable;

use self::results::{Results, compare};

#[derive(Parser)]
struct Args {
    /// How many boxes are connected; a row for each and each rate.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    boxes: Vec<usize>,
    /// Payments measured in each row.
    #[arg(long, default_value_t = 500)]
    payments: usize,
    /// Payments a second.
    #[arg(long, value_delimiter = ',', default_values_t = [50])]
    rate: Vec<u32>,
    /// Payments that come as fast as they are answered, before connections do the same; 0: leave both out.
    #[arg(long, default_value_t = 5_000)]
    flood: usize,
    /// How many callbacks are under way at a time in the flood.
    #[arg(long, value_delimiter = ',', default_values_t = [16])]
    acquirers: Vec<usize>,
    /// Leave Mosquitto out.
    #[arg(long)]
    no_mosquitto: bool,
    /// The executable of another build, to take turns with.
    #[arg(long)]
    compare: Option<PathBuf>,
    /// How often each build is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let ours = executable()?;
    let (mut this, mut other): (Vec<Results>, Vec<Results>) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        if let Some(another) = &args.compare {
            println!("== {}", another.display());
            other.push(run::run(another, &args).await?);
            println!("== {}", ours.display());
        }
        this.push(run::run(&ours, &args).await?);
    }
    if !other.is_empty() {
        compare(&this, &other);
    }
    Ok(())
}
