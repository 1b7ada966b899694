//! Which database server this is. A database that was restored from a backup, or whose replica was promoted, goes on with
//! another timeline; one that was copied into another cluster has another system identifier.

use sqlx::PgConnection;

/// How many numbers are skipped after a restore, so that none is given twice: more than can have been given since a backup.
pub const NUMBERS_SKIPPED: i64 = 1_000_000_000;

/// A server, and which of its histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Of the cluster, from its making on.
    pub system_identifier: i64,
    /// One higher with each end of a recovery from an archive, and each promotion.
    pub timeline: i32,
}

/// The server of this connection.
pub async fn present(conn: &mut PgConnection) -> sqlx::Result<Origin> {
    // The timeline is the beginning of the names of the log's files; the control file has it only from the next checkpoint on.
    sqlx::query_as!(
        Origin,
        r#"SELECT system_identifier AS "system_identifier!",
               ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS "timeline!"
           FROM pg_control_system()"#
    )
    .fetch_one(conn)
    .await
}

/// The server that was noted; none in a new database.
pub async fn noted(conn: &mut PgConnection) -> sqlx::Result<Option<Origin>> {
    sqlx::query_as!(
        Origin,
        "SELECT system_identifier, timeline FROM database_origin"
    )
    .fetch_optional(conn)
    .await
}

/// Keeps others from the same until the end of the transaction, also while nothing is noted.
pub async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('database_origin'))")
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes the server.
pub async fn note(conn: &mut PgConnection, origin: Origin) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO database_origin (system_identifier, timeline) VALUES ($1, $2)
         ON CONFLICT (is_only) DO UPDATE SET system_identifier = excluded.system_identifier, timeline = excluded.timeline",
        origin.system_identifier,
        origin.timeline
    )
    .execute(conn)
    .await?;
    Ok(())
}
