//! Log lines on standard error, by `log.filter` and `log.format`.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use platform::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Installs the subscriber.
///
/// # Errors
/// A filter that cannot be read.
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
