//! Login attempts that failed or are running, by email and by address: what throttling counts.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// One attempt to log in.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its row.
    pub id: Uuid,
    /// SHA-256 of the email that was typed, in lower case.
    pub email_sha256: Vec<u8>,
    /// The network it came from, where that is known.
    pub address: Option<String>,
    /// When.
    pub attempted_at: DateTime<Utc>,
}

/// Lets no other attempt from the same address be counted until the transaction ends; without an address, none for the
/// same email.
pub async fn serialise(conn: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    let name = match &attempt.address {
        Some(address) => format!("login address {address}"),
        None => format!("login email {}", hex::encode(&attempt.email_sha256)),
    };
    crate::serialise(conn, &name).await
}

/// When the attempt was made that is `count` attempts back for this email from this address, if that was after `since`.
pub async fn nth_of_pair(
    conn: &mut PgConnection,
    attempt: &Attempt,
    since: DateTime<Utc>,
    count: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "SELECT attempted_at FROM login_attempts
         WHERE email_sha256 = $1 AND address IS NOT DISTINCT FROM $4 AND attempted_at > $2
         ORDER BY attempted_at DESC OFFSET $3::bigint - 1 LIMIT 1",
        attempt.email_sha256,
        since,
        count,
        attempt.address
    )
    .fetch_optional(conn)
    .await
}

/// The same for its address, whatever the email.
pub async fn nth_of_address(
    conn: &mut PgConnection,
    attempt: &Attempt,
    since: DateTime<Utc>,
    count: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "SELECT attempted_at FROM login_attempts WHERE address = $1 AND attempted_at > $2
         ORDER BY attempted_at DESC OFFSET $3::bigint - 1 LIMIT 1",
        attempt.address,
        since,
        count
    )
    .fetch_optional(conn)
    .await
}

/// Counts an attempt.
pub async fn insert(conn: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO login_attempts (id, email_sha256, address, attempted_at) VALUES ($1, $2, $3, $4)",
        attempt.id,
        attempt.email_sha256,
        attempt.address,
        attempt.attempted_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes an attempt back: it succeeded.
pub async fn delete(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM login_attempts WHERE id = $1", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets up to `limit` attempts before a moment.
pub async fn forget(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM login_attempts WHERE id = ANY(ARRAY(
             SELECT id FROM login_attempts WHERE attempted_at <= $1 ORDER BY attempted_at LIMIT $2))",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
