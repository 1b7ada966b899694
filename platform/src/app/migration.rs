//! The schema: brought to the version of this program while processes of an earlier version serve.
//!
//! A migration waits for locks only for a moment ([`LOCK_TIMEOUT`]) and then begins again, because everything that comes after
//! a statement that waits for a lock of a table waits behind it, payments too. Migrations of several processes that start at
//! the same time are serialised by a lock. A process starts on a database with migrations that it does not know, because
//! they are of a later version whose migrations the version before must be able to live with (docs/upgrading.md).

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{bail, ensure};
use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;

use super::database::{describe, problem, with_settings};

/// How long a statement of a migration waits for a lock.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";
/// How often the migrations are begun again when a lock was not free, and after which pause.
const LOCK_TRIES_MAX: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// The migrations, compiled in. Those that the database has besides are of a later version.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.set_ignore_missing(true);
    migrator
});

/// Refuses a database whose schema is older than this program.
///
/// # Errors
/// What the operator has to do.
pub(super) async fn must_be_current(pool: &PgPool) -> anyhow::Result<()> {
    let applied = applied(pool).await?;
    let missing = MIGRATOR
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .count();
    ensure!(
        missing == 0,
        "the database {} lacks {missing} migrations of this program; run `platform migrate` with the same configuration",
        describe(&pool.connect_options())
    );
    Ok(())
}

/// The versions of the migrations that the database has.
async fn applied(pool: &PgPool) -> anyhow::Result<Vec<i64>> {
    let applied: sqlx::Result<Vec<i64>> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(pool)
            .await;
    match applied {
        Ok(applied) => Ok(applied),
        // undefined_table: no migration has run.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
            Ok(Vec::new())
        }
        Err(error) => bail!(
            "cannot read the database {}: {}",
            describe(&pool.connect_options()),
            problem(&error)
        ),
    }
}

/// Brings the database to the version of this program.
///
/// # Errors
/// A migration that fails; locks that do not become free; a database of an earlier development version.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    let options = (*pool.connect_options()).clone();
    let server = describe(&options);
    check_unknown(pool, &server).await?;
    let impatient = with_settings(PgPoolOptions::new().max_connections(1), LOCK_TIMEOUT)
        .connect_lazy_with(options);
    let mut tries = 1;
    loop {
        match MIGRATOR.run(&impatient).await {
            Ok(()) => break,
            Err(error) if is_locked(&error) && tries < LOCK_TRIES_MAX => {
                tracing::warn!(tries, "a migration waits for a lock and begins again");
                tokio::time::sleep(LOCK_PAUSE).await;
                tries += 1;
            }
            Err(error) => bail!("cannot migrate the database {server}: {}", text(&error)),
        }
    }
    impatient.close().await;
    Ok(())
}

fn is_locked(error: &MigrateError) -> bool {
    let error = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        _ => return false,
    };
    // lock_not_available.
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"))
}

fn text(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) => problem(error),
        MigrateError::ExecuteMigration(error, version) => {
            format!("migration {version}: {}", problem(error))
        }
        other => other.to_string(),
    }
}

/// Refuses a database of an earlier development version, and warns of one that is newer than this program.
async fn check_unknown(pool: &PgPool, server: &str) -> anyhow::Result<()> {
    let applied = applied(pool).await?;
    let newest = MIGRATOR.iter().map(|one| one.version).max().unwrap_or(0);
    let unknown = applied
        .into_iter()
        .filter(|version| !MIGRATOR.version_exists(*version));
    let (later, earlier): (Vec<i64>, Vec<i64>) = unknown.partition(|version| *version > newest);
    ensure!(
        earlier.is_empty(),
        "cannot migrate the database {server}: it has migrations that this program does not know ({earlier:?}), of another or \
         an earlier development version; use a new database, or for the embedded one remove the data directory"
    );
    if !later.is_empty() {
        tracing::warn!(
            ?later,
            "the database is newer than this program: finish the upgrade"
        );
    }
    Ok(())
}
