//! The certificate revocation list that was signed last.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A signed list.
#[derive(Debug, Clone)]
pub struct Crl {
    /// Rises with every list.
    pub number: i64,
    /// SHA-256 of the issuer and the entries.
    pub content_sha256: Vec<u8>,
    /// How many certificates are in it.
    pub entries: i64,
    /// When it was signed.
    pub this_update: DateTime<Utc>,
    /// By when there is another.
    pub next_update: DateTime<Utc>,
    /// The list.
    pub der: Vec<u8>,
}

/// The list that was signed last.
pub async fn find(conn: &mut PgConnection) -> sqlx::Result<Option<Crl>> {
    sqlx::query_as!(
        Crl,
        "SELECT number, content_sha256, entries, this_update, next_update, der FROM crl"
    )
    .fetch_optional(conn)
    .await
}

/// Keeps this one in its place.
pub async fn put(conn: &mut PgConnection, crl: &Crl) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO crl (number, content_sha256, entries, this_update, next_update, der) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (singleton) DO UPDATE SET number = $1, content_sha256 = $2, entries = $3, this_update = $4,
             next_update = $5, der = $6",
        crl.number,
        crl.content_sha256,
        crl.entries,
        crl.this_update,
        crl.next_update,
        crl.der
    )
    .execute(conn)
    .await?;
    Ok(())
}
