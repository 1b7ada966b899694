//! Observers: the certificates of services that watch the fleet.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

/// A service's certificate.
#[derive(Debug, Clone, Serialize)]
pub struct Observer {
    /// Its serial number, in lower-case hex.
    pub certificate_serial: String,
    /// The service's name; absent until the certificate has been seen.
    pub name: Option<String>,
    /// When it first connected.
    pub first_seen_at: Option<DateTime<Utc>>,
    /// When it last connected.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// From when on it may not.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Notes that a service connects; `false` when its certificate is revoked.
pub async fn admit(
    conn: &mut PgConnection,
    certificate_serial: &str,
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO observers (certificate_serial, name, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $3)
         ON CONFLICT (certificate_serial) DO UPDATE SET last_seen_at = $3 WHERE observers.revoked_at IS NULL",
        certificate_serial,
        name,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Revokes a certificate, seen or not; the row as it is then. Revoking it again changes nothing.
pub async fn revoke(
    conn: &mut PgConnection,
    certificate_serial: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Observer> {
    sqlx::query_as!(
        Observer,
        "INSERT INTO observers (certificate_serial, revoked_at) VALUES ($1, $2)
         ON CONFLICT (certificate_serial) DO UPDATE SET revoked_at = coalesce(observers.revoked_at, $2)
         RETURNING certificate_serial, name, first_seen_at, last_seen_at, revoked_at",
        certificate_serial,
        now
    )
    .fetch_one(conn)
    .await
}

/// Those of these certificates that are revoked.
pub async fn revoked_among(
    conn: &mut PgConnection,
    certificate_serials: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT certificate_serial FROM observers WHERE certificate_serial = ANY($1) AND revoked_at IS NOT NULL",
        certificate_serials
    )
    .fetch_all(conn)
    .await
}

/// All of them, the last seen first; at most `limit`.
pub async fn list(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Observer>> {
    sqlx::query_as!(
        Observer,
        "SELECT certificate_serial, name, first_seen_at, last_seen_at, revoked_at FROM observers
         ORDER BY last_seen_at DESC NULLS FIRST, certificate_serial LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await
}
