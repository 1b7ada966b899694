//! Fee profiles and their dated versions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::Page;

/// Makes sure that a profile with this first version exists; an existing one is left as it is.
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

/// A fee profile without its versions.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Profile {
    pub id: String,
    pub name: String,
    pub created_at: DateTime<Utc>,
}

/// A version of a profile, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct VersionView {
    #[serde(skip)]
    pub profile_id: String,
    pub version: i32,
    pub effective_from: DateTime<Utc>,
    /// `version`, `effective_from` and the `rules`, of which the first that fits decides.
    #[schema(value_type = Object)]
    pub rates: Value,
    pub created_by: String,
    /// Null when one person's word was enough.
    pub approved_by: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// Stores a profile.
///
/// # Errors
/// `fee_profiles_pkey`, `fee_profiles_id_form`.
pub async fn insert(conn: &mut PgConnection, profile: &Profile) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO fee_profiles (id, name, created_at) VALUES ($1, $2, $3)",
        profile.id,
        profile.name,
        profile.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores a version.
///
/// # Errors
/// `fee_profile_versions_pkey`.
pub async fn insert_version(conn: &mut PgConnection, version: &VersionView) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO fee_profile_versions (profile_id, version, effective_from, rates, created_by, approved_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        version.profile_id,
        version.version,
        version.effective_from,
        version.rates,
        version.created_by,
        version.approved_by,
        version.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One profile.
pub async fn find(conn: &mut PgConnection, id: &str) -> sqlx::Result<Option<Profile>> {
    sqlx::query_as!(Profile, "SELECT * FROM fee_profiles WHERE id = $1", id)
        .fetch_optional(conn)
        .await
}

/// One profile, kept from other new versions until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: &str) -> sqlx::Result<Option<Profile>> {
    sqlx::query_as!(
        Profile,
        "SELECT * FROM fee_profiles WHERE id = $1 FOR NO KEY UPDATE",
        id
    )
    .fetch_optional(conn)
    .await
}

/// Profiles, newest first. They have names, not numbers: the cursor has only their time.
pub async fn list(conn: &mut PgConnection, page: Page) -> sqlx::Result<Vec<Profile>> {
    sqlx::query_as!(
        Profile,
        "SELECT * FROM fee_profiles WHERE ($1::timestamptz IS NULL OR created_at < $1) ORDER BY created_at DESC, id DESC LIMIT $2",
        page.after_time(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// The versions of these profiles, the oldest first.
pub async fn versions(
    conn: &mut PgConnection,
    profiles: &[String],
) -> sqlx::Result<Vec<VersionView>> {
    sqlx::query_as!(
        VersionView,
        "SELECT * FROM fee_profile_versions WHERE profile_id = ANY($1) ORDER BY profile_id, version",
        profiles
    )
    .fetch_all(conn)
    .await
}
