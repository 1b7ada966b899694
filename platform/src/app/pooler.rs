//! A pooler between the platform and Postgres has to give each connection a session of its own.
//!
//! pgbouncer in transaction mode gives every transaction any connection to the server. Then notifications of LISTEN are lost,
//! the lock under which the schema is migrated is left on a connection that another client uses, a prepared statement is
//! unknown on the connection on which it is executed, and settings apply to other clients. Nothing of that fails at once,
//! so it is found out at the start.

use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

/// How long a pooler may take that has no connection left, because another transaction has it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// How often it is tried: others may use the pooler at the same moment.
const TRIES: u32 = 3;

/// Refuses a pooler that does not keep sessions. Postgres itself, and pgbouncer in session mode, pass.
///
/// # Errors
/// What the operator has to change; the database's.
pub(super) async fn must_keep_sessions(
    options: &PgConnectOptions,
    server: &str,
) -> anyhow::Result<()> {
    let kept = timeout(ANSWERED_WITHIN, keeps_sessions(options)).await;
    let kept = kept
        .unwrap_or(Ok(false))
        .with_context(|| format!("cannot use the database {server}"))?;
    if !kept {
        bail!(
            "cannot use the database {server}: a pooler gives its transactions different connections to the server \
             (pgbouncer with pool_mode = transaction or statement), and LISTEN, locks and prepared statements do not \
             work there. Set pool_mode = session for this database, or connect to Postgres itself \
             (docs/high-availability.md)"
        );
    }
    Ok(())
}

/// Whether a connection has the same server process after another connection has begun a transaction. A pooler lends what
/// was given back last, so the other one takes it away.
async fn keeps_sessions(options: &PgConnectOptions) -> sqlx::Result<bool> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    let mut kept = true;
    for _ in 0..TRIES {
        let before = server_process(&mut one).await?;
        sqlx::raw_sql("BEGIN").execute(&mut other).await?;
        let after = server_process(&mut one).await?;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
        kept &= before == after;
    }
    one.close().await?;
    other.close().await?;
    Ok(kept)
}

/// Not prepared, because that is what may not work.
async fn server_process(conn: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(conn)
        .await?
        .try_get(0)
}
