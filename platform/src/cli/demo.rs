//! `platform demo`: its flags.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use platform::config::Config;

use super::{duration, logging, signals};
use crate::demo::{self, Plan};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// How many simulated boxes; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1000))]
    boxes: u32,
    /// The time between payments; 0 for no acquirer.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pay_every: Duration,
    /// End this long after being ready, with success only if every payment was played exactly once.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    end_after: Option<Duration>,
    /// Where database, CA, boxes and demo.json live.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One JSON object a line: ready, each payment, a summary.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::demo()?;
    if let Some(data_dir) = args.data_dir {
        config.data_dir = std::path::absolute(data_dir)?;
    }
    let telemetry = logging::init_with_telemetry(&config)?;
    let plan = Plan {
        boxes: args.boxes,
        pay_every: (!args.pay_every.is_zero()).then_some(args.pay_every),
        end_after: args.end_after,
        json: args.json,
    };
    demo::run(config, &plan, telemetry, signals::stop_token()?).await
}
