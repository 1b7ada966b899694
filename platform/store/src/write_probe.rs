//! A probe: whether the database accepts writes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Writes a row that needs a page of its own: on a full disk that fails, where the update of a row would find place.
pub async fn insert(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO write_probes (probed_at, filler) VALUES ($1, repeat('.', 7900))",
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Frees the pages, unless the table is being read (by a backup).
///
/// # Errors
/// `55P03` while the table is being read.
pub async fn clear(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("LOCK TABLE write_probes IN ACCESS EXCLUSIVE MODE NOWAIT")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("TRUNCATE write_probes").execute(conn).await?;
    Ok(())
}
