//! `platform audit verify`: whether the audit log was changed.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::people::audit;

use super::ConfigArgs;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Read the whole chain and compare it with the log; fails when a row was changed, deleted or inserted.
    Verify(Verify),
}

#[derive(Args)]
pub(super) struct Verify {
    /// A head that was noted earlier: without it, a log whose end was cut off cannot be recognised.
    #[arg(long, value_name = "HEX")]
    head: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(args) = command;
    let known = args.head.as_ref().map(|head| head.trim().to_lowercase());
    let report = args
        .config
        .offline(async |context| Ok(audit::verify(context, known.as_deref()).await?))
        .await?;
    println!(
        "{} rows sealed, {} waiting; head {}",
        report.head.seq, report.head.waiting, report.head.head
    );
    if report.findings.is_empty() {
        println!("the audit log is whole");
        return Ok(ExitCode::SUCCESS);
    }
    for finding in &report.findings {
        println!("{finding}");
    }
    println!("the audit log is NOT whole");
    Ok(ExitCode::FAILURE)
}
