//! `platform partner`: what is agreed with acquirers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::shop::partner_name_file::{self, Authority, NamesTaken};
use service::{Actor, Context};

use super::{ConfigArgs, csv_file, sentence};

/// How many terminals one file names at most.
const ROWS_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(super) enum PartnerCommand {
    /// Take an acquirer's names of terminals, outlets and merchants from a CSV file, all or none.
    ImportNames(ImportNamesArgs),
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
    let PartnerCommand::ImportNames(args) = command;
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
