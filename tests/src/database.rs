//! A database for each test, cloned in milliseconds from a migrated template.
//!
//! ```text
//! TEST_DATABASE_URL     the server to use; ./test.sh starts one around the whole run and sets it
//! (unset)               a keeper process serves all test processes of this checkout and ends a while
//!                       after the last of them
//! ```
//!
//! Either way the server is the platform's own launcher's, without fsync, in memory where there is
//! room, and nothing of it is left afterwards. A test process never owns the server: under nextest each test is a process,
//! and cannot know whether it is the last. So the keeper ([`keeper`], the program
//! `test-database`) owns it, and test processes hold a shared lock for as long as they live, which
//! the kernel releases however they end.

pub mod keeper;
mod template;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool,
};
use tokio::sync::OnceCell;

/// Names the server to use, by any database on it in which the role may create others.
pub const SERVER_URL: &str = "TEST_DATABASE_URL";

/// A database with all migrations applied, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    name: String,
    url: String,
}

/// The server, and the template on it: found once in each process.
#[derive(Debug)]
struct Origin {
    url: String,
    server: PgConnectOptions,
    template: String,
    /// Keeps the keeper waiting; `None` when the server is not a keeper's.
    _presence: Option<keeper::Presence>,
}

static ORIGIN: OnceCell<Origin> = OnceCell::const_new();

impl Origin {
    async fn find() -> anyhow::Result<Self> {
        let (url, presence) = match std::env::var(SERVER_URL) {
            Ok(url) if !url.is_empty() => (url, None),
            _ => {
                // It blocks while it waits for another process.
                let presence = tokio::task::spawn_blocking(keeper::join).await??;
                (presence.url().to_owned(), Some(presence))
            }
        };
        let server: PgConnectOptions = url
            .parse()
            .with_context(|| format!("{SERVER_URL} is no Postgres URL"))?;
        // Logged statements would hide the output of the test.
        let server = server.disable_statement_logging();
        Ok(Self {
            template: template::ensure(&server).await?,
            url,
            server,
            _presence: presence,
        })
    }
}

impl TestDatabase {
    /// Clones a database from the template.
    pub async fn create() -> anyhow::Result<Self> {
        let origin = ORIGIN.get_or_try_init(Origin::find).await?;
        Self::clone_of(origin, &origin.template).await
    }

    /// An empty database.
    pub async fn empty() -> anyhow::Result<Self> {
        let origin = ORIGIN.get_or_try_init(Origin::find).await?;
        Self::clone_of(origin, "template0").await
    }

    async fn clone_of(origin: &Origin, template: &str) -> anyhow::Result<Self> {
        let name = unused_name();
        // file_copy: the template is small and quiet, and without fsync a copy is cheap; writing
        // its pages to the WAL (the default strategy) takes three times as long.
        let statement = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy");
        let mut maintenance = origin.server.connect().await?;
        maintenance
            .execute(AssertSqlSafe(statement))
            .await
            .context("cannot clone the template database")?;
        maintenance.close().await?;
        Ok(Self {
            server: origin.server.clone(),
            url: with_database(&origin.url, &name),
            name,
        })
    }

    /// How to connect, for a `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to connect, for sqlx.
    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// One connection.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.options().connect().await?)
    }

    /// A pool of a few connections.
    pub async fn pool(&self) -> anyhow::Result<PgPool> {
        pool_of(&self.url).await
    }
}

/// A pool of a few connections to any database.
pub async fn pool_of(url: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse()?;
    let pool = PgPoolOptions::new().max_connections(8);
    Ok(pool
        .connect_with(options.disable_statement_logging())
        .await?)
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // Not on the test's own runtime, which may be shutting down.
        let dropper = std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut maintenance = server.connect().await?;
                maintenance.execute(AssertSqlSafe(statement)).await?;
                Ok(maintenance.close().await?)
            })
        });
        match dropper.join() {
            Ok(Ok(())) => {}
            // A story may have stopped the server on purpose.
            Ok(Err(error)) => eprintln!("database {} was not dropped: {error:#}", self.name),
            Err(_) => eprintln!("database {} was not dropped", self.name),
        }
    }
}

/// The URL with another database name, which is between the authority and the query.
fn with_database(url: &str, name: &str) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = place.find("://").map_or(0, |scheme| scheme + 3);
    let end = place[authority..]
        .find('/')
        .map_or(place.len(), |path| authority + path);
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{}/{name}{separator}{query}", &place[..end])
}

/// A name that no other test, process or earlier run on the same server has.
fn unused_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(
        "test_{}_{count}_{:016x}",
        std::process::id(),
        rand::random::<u64>()
    )
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            (
                "postgres://a@localhost/x?host=/tmp/s",
                "postgres://a@localhost/t?host=/tmp/s",
            ),
            ("postgres://a:b@h:5433/x", "postgres://a:b@h:5433/t"),
            ("postgres://h", "postgres://h/t"),
        ] {
            assert_eq!(with_database(url, "t"), expected);
        }
    }
}
