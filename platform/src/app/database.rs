//! The database: the configured one, or an embedded server of our own.

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config::Config;
use crate::postgres::{Launcher, Server, StartOptions};

/// The migrations, compiled in.
static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Opens the configured database; without one, starts the embedded server.
///
/// # Errors
/// A URL that does not read, a server that cannot be reached or started.
pub async fn open(config: &Config) -> anyhow::Result<(Option<Server>, PgPool)> {
    let (server, url) = match config.database.url.as_str() {
        "" => {
            let server = Launcher::start(&config.data_dir(), StartOptions::from_env()).await?;
            let url = server.database_url().to_owned();
            (Some(server), url)
        }
        url => (None, url.to_owned()),
    };
    let pool = connect(config, &url).await?;
    Ok((server, pool))
}

/// A pool on a database.
///
/// # Errors
/// A URL that does not read, a server that cannot be reached.
pub async fn connect(config: &Config, url: &str) -> anyhow::Result<PgPool> {
    // The text of a URL may hold a password and is left out of the message.
    let options: PgConnectOptions = url.parse().context("the database URL does not read")?;
    PgPoolOptions::new()
        .max_connections(config.database.connections_max)
        .acquire_timeout(config.database.acquire_timeout())
        .connect_with(options.application_name("soundbox-platform"))
        .await
        .context("cannot connect to the database")
}

/// Brings the database to the version of this program.
///
/// # Errors
/// A migration that fails, or a database that is newer than this program.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    MIGRATOR
        .run(pool)
        .await
        .context("cannot migrate the database")
}
