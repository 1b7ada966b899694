//! The template: a database with all migrations applied and today's partitions, to which no connections are allowed.
//!
//! Its name holds a hash of the migrations and the first partition's day, so that a changed migration and a new day make a
//! new template and several checkouts can share a server.

use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::digest;
use chrono::{NaiveDate, TimeDelta};
use service::clock::Clock;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use store::partition::{self, Partitioned};

/// Serialises the makers of templates on a server ("soundbox" in ASCII).
const LOCK: i64 = 0x736f_756e_6462_6f78;
/// Those that the platform makes when it starts: yesterday's, and as many ahead.
const PARTITION_DAYS: i32 = 5;

/// Makes the template if it does not exist; its name.
pub(super) async fn ensure(server: &PgConnectOptions) -> anyhow::Result<String> {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let migrator = Migrator::new(migrations.as_path())
        .await
        .with_context(|| format!("cannot read {}", migrations.display()))?;
    let yesterday = Clock::system().now().date_naive() - TimeDelta::days(1);
    let name = name(&migrator, yesterday);

    let mut maintenance = server
        .connect()
        .await
        .context("cannot reach the test database server")?;
    maintenance
        .execute(sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK))
        .await?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .fetch_one(&mut maintenance)
            .await?;
    if !exists {
        let draft = format!("{name}_draft");
        for statement in [
            // Left by a run that was interrupted.
            format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"),
            format!("CREATE DATABASE {draft} TEMPLATE template0"),
        ] {
            maintenance.execute(AssertSqlSafe(statement)).await?;
        }
        let mut connection = server.clone().database(&draft).connect().await?;
        migrator
            .run(&mut connection)
            .await
            .context("cannot apply the migrations")?;
        for table in Partitioned::ALL {
            partition::ensure(&mut connection, table, yesterday, PARTITION_DAYS).await?;
        }
        connection.close().await?;
        for statement in [
            // A template with a connection cannot be cloned.
            format!("ALTER DATABASE {draft} WITH ALLOW_CONNECTIONS false"),
            format!("ALTER DATABASE {draft} RENAME TO {name}"),
        ] {
            maintenance.execute(AssertSqlSafe(statement)).await?;
        }
    }
    // The lock goes with the connection.
    maintenance.close().await?;
    Ok(name)
}

fn name(migrator: &Migrator, first_day: NaiveDate) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for migration in migrator.iter() {
        hash.update(&migration.version.to_be_bytes());
        hash.update(&migration.checksum);
    }
    let hash = hex::encode(&hash.finish().as_ref()[..8]);
    format!("soundbox_template_{hash}_{}", first_day.format("%Y%m%d"))
}
