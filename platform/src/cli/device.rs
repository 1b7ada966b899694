//! `platform device import`: boxes of a delivery, from the maker's list.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::fleet::import::{self, Import};
use service::{Actor, Context};

use super::{ConfigArgs, csv_file, sentence};

/// How many boxes one file has at most.
const ROWS_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(super) enum DeviceCommand {
    /// Register the boxes of a CSV file, all or none, and print their activation codes once, as CSV.
    Import(ImportArgs),
}

#[derive(Args)]
pub(super) struct ImportArgs {
    /// With the header serial_number,model,capabilities,communication_mode,tags, separated by commas, semicolons or tabs as
    /// a spreadsheet saves it; words within a cell are separated by semicolons, commas or blanks.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &DeviceCommand) -> anyhow::Result<ExitCode> {
    let DeviceCommand::Import(args) = command;
    let file = csv_file::read(&args.file)?;
    let imported = args
        .config
        .offline(async |context| import(context, &file).await)
        .await?;
    print(&imported)?;
    Ok(ExitCode::SUCCESS)
}

async fn import(context: &Context, file: &[u8]) -> anyhow::Result<Import> {
    let mut unit = context.begin(Actor::system()).await?;
    let imported = import::import(&mut unit, file, ROWS_MAX)
        .await
        .map_err(sentence)?;
    unit.commit().await?;
    Ok(imported)
}

fn print(import: &Import) -> anyhow::Result<()> {
    eprintln!(
        "{} devices; this is the only time that their activation codes are shown:",
        import.imported
    );
    let mut writer = csv::Writer::from_writer(std::io::stdout().lock());
    writer.write_record([
        "serial_number",
        "device_id",
        "activation_code",
        "activation_code_expires_at",
    ])?;
    for device in &import.devices {
        writer.write_record([
            &device.serial_number,
            &device.id.to_string(),
            &device.activation_code,
            &device.activation_code_expires_at.to_rfc3339(),
        ])?;
    }
    writer.flush()?;
    Ok(())
}
