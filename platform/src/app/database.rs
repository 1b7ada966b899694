//! The database: the configured one, or an embedded server of our own.

use std::time::Duration;

use anyhow::{Context as _, bail};
use embedded_postgres::{Launcher, Server, StartOptions};
use service::lists::{Lists, Replica};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use super::pooler;
use crate::config::Config;

/// A connection that was used within this time is not tested before its next use, which saves a payment a round trip. If
/// the server has gone meanwhile, the unit of work fails before it has any effect.
const FRESH: Duration = Duration::from_secs(1);

/// How long a list waits for a connection to the replica, before it is read on the primary.
const REPLICA_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the lease waits for a connection. It is tried again soon.
const NODE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of the connections of each pool; why is said where the pool is made.
const FOR_LISTS: &str =
    "SET plan_cache_mode = force_custom_plan; SET default_transaction_read_only = on";
const FOR_PAYMENTS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off";
const FOR_NODE: &str = "SET synchronous_commit = off";

/// Opens the configured database; without one, starts the embedded server.
///
/// # Errors
/// A URL that cannot be read, a server that cannot be reached or started.
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
    // Nothing is between us and a server of our own.
    if server.is_none() {
        let options = pool.connect_options();
        pooler::must_keep_sessions(&options, &describe(&options)).await?;
    }
    Ok((server, pool))
}

/// A pool on a database.
///
/// # Errors
/// A URL that cannot be read, a server that cannot be reached.
pub async fn connect(config: &Config, url: &str) -> anyhow::Result<PgPool> {
    // The text of a URL may hold a password and is left out of the message.
    let options: PgConnectOptions = url.parse().context("the database URL does not read")?;
    let pool = pool_options(config, config.database.connections_max)
        .connect_with(options.clone().application_name(&application_name()))
        .await;
    match pool {
        Ok(pool) => Ok(pool),
        Err(error) => {
            let server = describe(&options);
            let cause = cause(error, &options, config.database.acquire_timeout()).await;
            bail!("cannot connect to the database {server}: {cause}")
        }
    }
}

/// The name by which Postgres shows the connections of this process, and of no other.
fn application_name() -> String {
    format!("soundbox-platform {:016x}", rand::random::<u64>())
}

fn pool_options(config: &Config, connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
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
}

/// Has every connection of a pool begin with these statements. The startup packet has no settings, because a pooler
/// between would refuse them or leave them out.
pub(super) fn with_settings(pool: PgPoolOptions, settings: &'static str) -> PgPoolOptions {
    pool.after_connect(move |connection, _| {
        Box::pin(async move {
            sqlx::raw_sql(settings).execute(connection).await?;
            Ok(())
        })
    })
}

/// Why there is no connection. A pool reports only that it waited too long, so one connection is tried without a pool.
async fn cause(error: sqlx::Error, options: &PgConnectOptions, within: Duration) -> String {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return problem(&error);
    }
    match tokio::time::timeout(within, options.connect()).await {
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
            problem(&error)
        }
        Ok(Err(error)) => problem(&error),
        Err(_) => format!("no answer within {} s", within.as_secs()),
    }
}

/// The database, without secrets: `soundbox at db.internal:5432 as soundbox`.
pub(super) fn describe(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let port = options.get_port();
    match options.get_socket() {
        Some(directory) => format!(
            "{database} at {}/.s.PGSQL.{port} as {user}",
            directory.display()
        ),
        None => format!("{database} at {}:{port} as {user}", options.get_host()),
    }
}

/// The error of the database or of the connection, once and without positions in statements.
pub fn problem(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    }
}

/// A separate pool for lists, on the same database, so that long lists do not take the connections of payments; and one on the
/// replica, if there is one. They are read-only and plan every statement for its actual parameters, because the best plan
/// depends on which filters are set.
///
/// # Errors
/// A URL that cannot be read. A replica that cannot be reached is not used.
pub(super) fn for_lists(config: &Config, pool: &PgPool) -> anyhow::Result<Lists> {
    let connections = |options: PgConnectOptions, acquire_timeout| {
        let pool = PgPoolOptions::new()
            .max_connections(config.database.list_connections_max)
            .acquire_timeout(acquire_timeout);
        with_settings(pool, FOR_LISTS).connect_lazy_with(options)
    };
    let options = pool.connect_options();
    let replica = match config.database.lists_url.as_str() {
        "" => None,
        url => {
            let replica: PgConnectOptions =
                url.parse().context("database.lists_url does not read")?;
            let name = options.get_application_name().unwrap_or_default();
            let pool = connections(replica.application_name(name), REPLICA_ACQUIRE_TIMEOUT);
            let age_max = Duration::from_secs(config.database.lists_max_lag_s.into());
            Some(Replica::new(pool, age_max))
        }
    };
    let primary = connections((*options).clone(), config.database.acquire_timeout());
    Ok(Lists::new(primary, replica))
}

/// The connections of [`payment_connections`], on the same database. Every statement on them is planned once, because
/// planning costs more than executing what a payment writes, and one plan serves all parameters. A batch is small, so each
/// of its rows is found by an index, in a nested loop: a plan that was made while a table was small would otherwise read all
/// of it when it has grown.
pub(super) fn for_payments(config: &Config, pool: &PgPool) -> PgPool {
    let options = (*pool.connect_options()).clone();
    let pool = pool_options(config, payment_connections(config));
    with_settings(pool, FOR_PAYMENTS).connect_lazy_with(options)
}

/// The connections that keep the processes together: for the lease, for wake-ups, and for listening to them. What is written
/// on them is worth nothing after a crash of the server, so their commits do not wait for its disk.
pub(super) fn for_node(pool: &PgPool) -> PgPool {
    let options = (*pool.connect_options()).clone();
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(NODE_ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None);
    with_settings(pool, FOR_NODE).connect_lazy_with(options)
}

/// One for each batch of payments at a time, and one for the batches of their acknowledgements.
pub(super) fn payment_connections(config: &Config) -> u32 {
    config.callbacks.batches_at_once.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password() {
        let named = |url: &str| describe(&url.parse().unwrap());
        assert_eq!(
            named("postgres://soundbox:geheim@db.internal:6543/prod"),
            "prod at db.internal:6543 as soundbox"
        );
        assert_eq!(
            named("postgres://soundbox@localhost/prod?host=/run/pg"),
            "prod at /run/pg/.s.PGSQL.5432 as soundbox"
        );
    }
}
