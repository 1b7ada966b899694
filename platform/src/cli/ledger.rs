//! `platform ledger verify`: whether money adds up.

use std::process::ExitCode;

use clap::Subcommand;
use service::money::ledger;

use super::ConfigArgs;

#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// Hold the ledger against payments, settlements, payouts and merchants; fails when something does not add up.
    Verify(ConfigArgs),
}

pub(super) async fn run(command: &LedgerCommand) -> anyhow::Result<ExitCode> {
    let LedgerCommand::Verify(args) = command;
    let report = args
        .offline(async |context| Ok(ledger::verify(context).await?))
        .await?;
    println!("{} lines in {} postings", report.entries, report.postings);
    if report.findings.is_empty() {
        println!("the ledger adds up");
        return Ok(ExitCode::SUCCESS);
    }
    for finding in &report.findings {
        println!("{finding}");
    }
    println!("the ledger does NOT add up");
    Ok(ExitCode::FAILURE)
}
