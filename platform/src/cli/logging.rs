//! Log lines on standard error, by `log.filter` and `log.format`, and spans for the export by `otel.endpoint`.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use platform::config::{Config, Log, LogFormat};
use platform::telemetry::Telemetry;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Installs the subscriber of a command that exports no traces.
///
/// # Errors
/// A filter that cannot be read.
pub(super) fn init(log: &Log) -> anyhow::Result<()> {
    install(log, None)
}

/// Starts the export of traces, if it is configured, and installs the subscriber.
///
/// # Errors
/// A filter that cannot be read, an export that cannot start.
pub(super) fn init_with_telemetry(config: &Config) -> anyhow::Result<Option<Telemetry>> {
    let telemetry = Telemetry::start(&config.otel, &config.node.name)?;
    install(&config.log, telemetry.as_ref())?;
    Ok(telemetry)
}

fn install(log: &Log, telemetry: Option<&Telemetry>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("configuration: log.filter = {:?}", log.filter))?;
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Text => registry
            .with(lines)
            .with(telemetry.map(Telemetry::layer))
            .init(),
        LogFormat::Json => registry
            .with(lines.json())
            .with(telemetry.map(Telemetry::layer))
            .init(),
    }
    Ok(())
}
