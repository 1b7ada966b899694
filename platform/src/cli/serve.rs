//! `platform serve`: the platform, until it is asked to stop. SIGHUP has it read its certificate again.

use std::process::ExitCode;

use platform::app::{App, Options};
use platform::config::Config;

use super::{logging, signals};

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let telemetry = logging::init_with_telemetry(config)?;
    let stop = signals::stop_token()?;
    let mut reload = signals::hangup()?;
    let options = Options {
        telemetry,
        ..Options::default()
    };
    let app = tokio::select! {
        started = App::start(config, options) => started?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    println!(
        "ready: API on {}, MQTT on {}, health and metrics on {}{}",
        app.http_addr(),
        app.mqtt_addr(),
        app.metrics_addr(),
        app.embedded_database_url()
            .map(|url| format!(", embedded database {url}"))
            .unwrap_or_default(),
    );
    let lost = loop {
        tokio::select! {
            () = stop.cancelled() => break false,
            () = app.database_lost() => break true,
            _ = reload.recv() => match app.reload_certificate() {
                Ok(()) => tracing::info!("the server certificate was read again"),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the server certificate stays as it was");
                }
            },
        }
    };
    tracing::info!("stopping");
    let stopped = app.stop().await;
    if lost {
        anyhow::bail!(
            "the embedded Postgres has ended unexpectedly; see {}/postgres/server.log",
            config.data_dir().display()
        );
    }
    stopped?;
    Ok(ExitCode::SUCCESS)
}
