//! Log lines on standard error, as `log.filter` and `log.format` say.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use platform::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Begins to log.
///
/// # Errors
/// A filter that does not read.
pub(super) fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("configuration: log.filter = {:?}", log.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
