//! `platform partner`: what is agreed with acquirers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use platform::app;
use platform::partner::finding::Grade;
use service::clock::Clock;
use service::shop::partner_name_file::{self, Authority, NamesTaken};
use service::{Actor, Context};

use super::{ConfigArgs, csv_file, sentence};

/// How many terminals one file names at most.
const ROWS_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(super) enum PartnerCommand {
    /// Take an acquirer's names of terminals, outlets and merchants from a CSV file, all or none.
    ImportNames(ImportNamesArgs),
    /// Try an acquirer's configuration without moving money: its keys and secrets, a token, the clocks, our signature, and
    /// a recorded message of it. Fails when something is wrong.
    Check(CheckArgs),
}

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Its id: the name of its table in [qris_partners].
    #[arg(value_name = "NAME")]
    id: String,
    /// A message of the acquirer as it came: request line, headers, an empty line, body.
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
pub(super) struct ImportNamesArgs {
    /// With the columns terminal_id, or nmid and terminal_label, for a terminal of ours, and any of partner_merchant_id,
    /// partner_store_id and partner_terminal_id, separated by commas, semicolons or tabs as a spreadsheet saves it. A
    /// blank cell changes nothing.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &PartnerCommand) -> anyhow::Result<ExitCode> {
    match command {
        PartnerCommand::ImportNames(args) => import(args).await,
        PartnerCommand::Check(args) => check(args).await,
    }
}

async fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let read = |file: &PathBuf| std::fs::read(file).with_context(|| file.display().to_string());
    let sample = args.sample.as_ref().map(read).transpose()?;
    let clock = Clock::system();
    let findings = app::partner_check(&config, &args.id, sample.as_deref(), &clock).await;
    for finding in &findings {
        println!("{finding}");
    }
    let is_wrong = findings.iter().any(|one| one.grade == Grade::Wrong);
    Ok(match is_wrong {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

async fn import(args: &ImportNamesArgs) -> anyhow::Result<ExitCode> {
    let file = csv_file::read(&args.file)?;
    let taken = args
        .config
        .offline(async |context| import_names(context, &file).await)
        .await?;
    println!(
        "{} rows: new names for {} merchants, {} outlets, {} terminals",
        taken.rows, taken.merchants, taken.outlets, taken.terminals
    );
    Ok(ExitCode::SUCCESS)
}

async fn import_names(context: &Context, file: &[u8]) -> anyhow::Result<NamesTaken> {
    let mut unit = context.begin(Actor::system()).await?;
    let taken = partner_name_file::import(&mut unit, file, ROWS_MAX, Authority::Machine)
        .await
        .map_err(sentence)?;
    unit.commit().await?;
    Ok(taken)
}
