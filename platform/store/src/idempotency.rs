//! Answers kept for `Idempotency-Key`, in the database transaction of the effect they describe.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An answer that was given before.
#[derive(Debug, Clone)]
pub struct Stored {
    /// SHA-256 of the request it answered.
    pub request_hash: Vec<u8>,
    /// Its HTTP status; 0 while the key is reserved.
    pub status: u16,
    /// Its body, secrets replaced by null.
    pub body: Vec<u8>,
}

/// Takes the key's lock until the transaction ends; `false` when another transaction holds it.
pub async fn try_lock(conn: &mut PgConnection, scope: &str, key: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 0)) AS "locked!""#,
        scope,
        key
    )
    .fetch_one(conn)
    .await
}

/// The answer stored under this key, if it has not expired.
pub async fn find(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT request_hash, status, body FROM idempotency_keys WHERE scope = $1 AND key = $2 AND expires_at > $3",
        scope,
        key,
        now
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Stored {
        request_hash: row.request_hash,
        status: u16::try_from(row.status).unwrap_or(500),
        body: row.body,
    }))
}

/// Reserves a key whose answer takes longer than one database transaction, because a partner is called in between. After
/// `until` another request may take it.
pub async fn reserve(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    request_hash: &[u8],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "INSERT INTO idempotency_keys (scope, key, request_hash, status, body, created_at, expires_at)
         VALUES ($1, $2, $3, 0, '', $4, $5)
         ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE
         SET request_hash = $3, status = 0, body = '', created_at = $4, expires_at = $5
         WHERE idempotency_keys.expires_at <= $4",
        scope,
        key,
        request_hash,
        now,
        until
    )
    .execute(conn)
    .await?;
    super::exactly_one(&result)
}

/// Gives a reserved key back.
pub async fn release(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    request_hash: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND request_hash = $3 AND status = 0",
        scope,
        key,
        request_hash
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores an answer, over an expired one or over the key's own reservation if there is one.
pub async fn insert(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    stored: &Stored,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let status = i16::try_from(stored.status).unwrap_or(500);
    let result = sqlx::query!(
        "INSERT INTO idempotency_keys (scope, key, request_hash, status, body, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE
         SET request_hash = $3, status = $4, body = $5, created_at = $6, expires_at = $7
         WHERE idempotency_keys.expires_at <= $6
            OR (idempotency_keys.status = 0 AND idempotency_keys.request_hash = $3)",
        scope,
        key,
        stored.request_hash,
        status,
        stored.body,
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    super::exactly_one(&result)
}

/// Forgets up to `limit` expired answers.
pub async fn delete_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2))",
        now,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
