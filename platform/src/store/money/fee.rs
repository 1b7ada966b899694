//! Fee profiles and their dated versions.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// One version of a fee profile.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number, from 1.
    pub version: i32,
    /// From when it holds.
    pub effective_from: DateTime<Utc>,
    /// The rates, as `domain::fee` writes them.
    pub rates: Value,
}

/// Makes sure that a profile with this first version exists; an existing one is left as it is.
///
/// # Errors
/// The database's.
pub async fn ensure(
    conn: &mut PgConnection,
    id: &str,
    name: &str,
    rates: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO fee_profiles (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        id,
        name,
        now
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO fee_profile_versions (profile_id, version, effective_from, rates, created_by, created_at)
         VALUES ($1, 1, '2000-01-01T00:00:00Z', $2, 'system', $3) ON CONFLICT DO NOTHING",
        id,
        rates,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The version of a profile that holds at a time.
///
/// # Errors
/// The database's.
pub async fn version_at(
    conn: &mut PgConnection,
    profile_id: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<Version>> {
    sqlx::query_as!(
        Version,
        "SELECT version, effective_from, rates FROM fee_profile_versions
         WHERE profile_id = $1 AND effective_from <= $2 ORDER BY effective_from DESC, version DESC LIMIT 1",
        profile_id,
        at
    )
    .fetch_optional(conn)
    .await
}
