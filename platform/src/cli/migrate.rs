//! `platform migrate`: the database to the version of this program, and nothing else.

use std::process::ExitCode;

use platform::app;
use platform::config::Config;

use super::logging;

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logging::init(&config.log)?;
    let (server, pool) = app::open(config).await?;
    let migrated = app::migrate(&pool).await;
    pool.close().await;
    if let Some(server) = server {
        server.stop().await?;
    }
    migrated?;
    println!("the database is up to date");
    Ok(ExitCode::SUCCESS)
}
