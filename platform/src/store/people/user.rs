//! Users: people who log in.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{MerchantId, UserId};

use crate::store::{Page, Scope, exactly_one};

/// A user, as the API shows it: never with its password.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct User {
    pub id: UserId,
    pub email: String,
    #[schema(value_type = domain::role::Role)]
    pub role: String,
    pub merchant_id: Option<MerchantId>,
    #[schema(value_type = domain::user::UserStatus)]
    pub status: String,
    /// Since when the account stands as it is: made, enabled again, given a role, or given a password by others.
    pub access_changed_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A user as Postgres has it.
struct Row {
    id: Uuid,
    email: String,
    role: String,
    merchant_id: Option<Uuid>,
    status: String,
    access_changed_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            email: row.email,
            role: row.role,
            merchant_id: row.merchant_id.map(MerchantId::from_uuid),
            status: row.status,
            access_changed_at: row.access_changed_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A user and what proves that it is the one.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub id: UserId,
    /// Argon2id, in the PHC string format; none until the person has set a password.
    pub password_hash: Option<String>,
}

/// What a one-time code sets a password with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// SHA-256 over the code, or over its two halves.
    pub hash: Vec<u8>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Which users a list is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In lower case.
    pub email: Option<String>,
    /// A role's name.
    pub role: Option<String>,
    /// `active` or `disabled`.
    pub status: Option<String>,
}

/// Stores a new user, without a password.
///
/// # Errors
/// The database's; `users_email_unique`, `users_merchant`.
pub async fn insert(conn: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO users (id, email, role, merchant_id, status, access_changed_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        user.id.as_uuid(),
        user.email,
        user.role,
        user.merchant_id.map(MerchantId::as_uuid),
        user.status,
        user.access_changed_at,
        user.created_at,
        user.updated_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One user.
pub async fn find(conn: &mut PgConnection, scope: Scope, id: UserId) -> sqlx::Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id.as_uuid(),
        scope.merchant()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// One user, locked until the transaction ends: nobody logs in as it meanwhile.
pub async fn lock(conn: &mut PgConnection, id: UserId) -> sqlx::Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// What proves who a user is, by its email.
pub async fn credentials(
    conn: &mut PgConnection,
    email: &str,
) -> sqlx::Result<Option<Credentials>> {
    sqlx::query_as!(
        Credentials,
        "SELECT id, password_hash FROM users WHERE email = $1",
        email
    )
    .fetch_optional(conn)
    .await
}

/// The user, if it may still log in with this password hash; nobody changes it until the transaction ends.
pub async fn hold_active(
    conn: &mut PgConnection,
    proven: &Credentials,
) -> sqlx::Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE id = $1 AND password_hash = $2 AND status = 'active' FOR SHARE",
        proven.id.as_uuid(),
        proven.password_hash
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// Users, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<User>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR email = $2)
           AND ($3::text IS NULL OR role = $3) AND ($4::text IS NULL OR status = $4)
           AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $7",
        scope.merchant(),
        filter.email,
        filter.role,
        filter.status,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Writes a user's role and status, and since when they are so.
pub async fn update(conn: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE users SET role = $2, status = $3, access_changed_at = $4, updated_at = $5 WHERE id = $1",
        user.id.as_uuid(),
        user.role,
        user.status,
        user.access_changed_at,
        user.updated_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Writes a user's password. A code that could have set another is good no more.
pub async fn set_password(
    conn: &mut PgConnection,
    id: UserId,
    password_hash: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE users SET password_hash = $2, setup_hash = NULL, setup_expires_at = NULL, updated_at = $3 WHERE id = $1",
        id.as_uuid(),
        password_hash,
        now
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Takes a user's password away, until a code sets another.
pub async fn expect_setup(conn: &mut PgConnection, id: UserId, setup: &Setup) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE users SET password_hash = NULL, setup_hash = $2, setup_expires_at = $3 WHERE id = $1",
        id.as_uuid(),
        setup.hash,
        setup.expires_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// The active user whom a code, by one of these hashes, is good for; locked until the transaction ends.
pub async fn lock_by_setup(
    conn: &mut PgConnection,
    email: &str,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE email = $1 AND setup_hash = ANY($2) AND setup_expires_at > $3 AND status = 'active' FOR UPDATE",
        email,
        hashes,
        now
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}
