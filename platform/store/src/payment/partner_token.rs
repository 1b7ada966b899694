//! Access tokens of SNAP partners, kept as hashes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Keeps a new token.
pub async fn insert(
    conn: &mut PgConnection,
    token_hash: &[u8],
    partner_id: &str,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO partner_tokens (token_hash, partner_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        token_hash,
        partner_id,
        created_at,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether this is a token of this partner that is still good.
pub async fn is_good(
    conn: &mut PgConnection,
    token_hash: &[u8],
    partner_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM partner_tokens WHERE token_hash = $1 AND partner_id = $2 AND expires_at > $3) AS "good!""#,
        token_hash,
        partner_id,
        now
    )
    .fetch_one(conn)
    .await
}

/// Forgets up to `limit` tokens that are over.
pub async fn delete_expired(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM partner_tokens WHERE token_hash = ANY(ARRAY(
             SELECT token_hash FROM partner_tokens WHERE expires_at <= $1 LIMIT $2))",
        now,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
