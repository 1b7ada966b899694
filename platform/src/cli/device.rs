//! `platform device import`: boxes of a delivery, from the maker's list.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::fleet::import::{self, Import};
use service::fleet::password::MqttLogin;
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
    /// With the header serial_number,model,capabilities,communication_mode,tags,profile,imei,product_key,language, separated by commas, semicolons or tabs as
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
        "{} devices; this is the only time that their activation codes and passwords are shown:",
        import.imported
    );
    let mut weaker = BTreeMap::<(u32, &str), usize>::new();
    for login in import.devices.iter().filter_map(|one| one.mqtt.as_ref()) {
        if let Some(why) = &login.weaker {
            *weaker.entry((login.password_bits, why)).or_default() += 1;
        }
    }
    for ((bits, why), count) in weaker {
        eprintln!("{count} of the passwords have {bits} random bits and not 128: {why}");
    }
    let mut writer = csv::Writer::from_writer(std::io::stdout().lock());
    let mut header = vec![
        "serial_number",
        "device_id",
        "activation_code",
        "activation_code_expires_at",
    ];
    let with_passwords = import.devices.iter().any(|device| device.mqtt.is_some());
    if with_passwords {
        header.extend([
            "mqtt_client_id",
            "mqtt_username",
            "mqtt_password",
            "product_secret",
        ]);
    }
    writer.write_record(header)?;
    for device in &import.devices {
        let expires_at = device.activation_code_expires_at;
        let mut record = vec![
            device.serial_number.clone(),
            device.id.to_string(),
            device.activation_code.clone().unwrap_or_default(),
            expires_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
        ];
        if with_passwords {
            let login = device.mqtt.as_ref();
            let cell = |part: fn(&MqttLogin) -> Option<&String>| {
                login.and_then(part).cloned().unwrap_or_default()
            };
            record.extend([
                cell(|login| Some(&login.client_id)),
                cell(|login| Some(&login.username)),
                cell(|login| Some(&login.password)),
                cell(|login| login.product_secret.as_ref()),
            ]);
        }
        writer.write_record(record)?;
    }
    writer.flush()?;
    Ok(())
}
