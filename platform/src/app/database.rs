//! The database: the configured one, or an embedded server of our own.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

use crate::config::Config;
use crate::postgres::{Launcher, Server, StartOptions};

/// A connection that was used a moment ago is taken to be alive, and costs a payment no question first. Should the server
/// have gone meanwhile, the unit of work fails before it has done anything.
const FRESH: Duration = Duration::from_secs(1);

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
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options.application_name("soundbox-platform"))
        .await
        .context("cannot connect to the database")
}

/// A pool of its own for lists, on the same database: whoever pages through a year does not take the connections that
/// payments need. It only reads, and plans every question anew, because the best way to "all of this merchant's boxes
/// that are away" is not the best way to "all boxes", though the statement is the same.
pub(super) fn for_lists(config: &Config, pool: &PgPool) -> PgPool {
    let options = (*pool.connect_options()).clone().options([
        ("plan_cache_mode", "force_custom_plan"),
        ("default_transaction_read_only", "on"),
    ]);
    PgPoolOptions::new()
        .max_connections(config.database.list_connections_max)
        .acquire_timeout(config.database.acquire_timeout())
        .connect_lazy_with(options)
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
