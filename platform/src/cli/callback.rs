//! `platform callback replay`: a kept message that was refused, run again after the configuration was mended.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::Actor;
use service::payment::callback::replay;
use wire::CallbackId;

use super::ConfigArgs;

#[derive(Subcommand)]
pub(super) enum CallbackCommand {
    /// Judge a kept message again, as if it had just come. What was paid meanwhile is a duplicate: nothing is paid twice.
    Replay(Replay),
}

#[derive(Args)]
pub(super) struct Replay {
    /// Which one, as GET /admin/callbacks lists it.
    #[arg(value_name = "ID")]
    id: CallbackId,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &CallbackCommand) -> anyhow::Result<ExitCode> {
    let CallbackCommand::Replay(args) = command;
    let replayed = args
        .config
        .offline_with_partners(async |context| {
            Ok(replay::replay(context, args.id, Actor::system()).await?)
        })
        .await?;
    println!("{}: {}", replayed.callback_id, replayed.verdict);
    if let Some(transaction_id) = replayed.transaction_id {
        let status = replayed.status.map_or("", |status| status.as_str());
        println!("{transaction_id}: {status}");
    }
    match replayed.refusal {
        Some(refusal) => {
            println!("refused again: {refusal}");
            Ok(ExitCode::FAILURE)
        }
        None => Ok(ExitCode::SUCCESS),
    }
}
