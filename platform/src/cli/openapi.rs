//! `platform openapi`: the document that `/openapi.json` serves.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use http_api::openapi;

#[derive(Args)]
pub(super) struct OpenapiArgs {
    /// The endpoints as a Markdown table instead.
    #[arg(long)]
    table: bool,
}

pub(super) fn run(args: &OpenapiArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.table {
        out.write_all(openapi::table().as_bytes())?;
    } else {
        out.write_all(openapi::json().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
