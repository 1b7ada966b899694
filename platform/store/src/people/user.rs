//! Users: people who log in.

use chrono::{DateTime, Utc};
use domain::role::Role;
use domain::user::UserStatus;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{MerchantId, UserId};

use crate::{Page, Period, Scope, exactly_one};

/// A user, as the API shows it: never with its password.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub role: Role,
    pub merchant_id: Option<MerchantId>,
    pub status: UserStatus,
    /// Since when the account stands as it is: made, enabled again, given a role, or given a password by others.
    pub access_changed_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
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
    /// With this role.
    pub role: Option<Role>,
    /// Of this status.
    pub status: Option<UserStatus>,
    /// When the account was made.
    pub period: Period,
}

/// Stores a new user, without a password.
///
/// # Errors
/// `users_email_unique`, `users_merchant`.
pub async fn insert(conn: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO users (id, email, role, merchant_id, status, access_changed_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        user.id as _,
        user.email,
        user.role as _,
        user.merchant_id as _,
        user.status as _,
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
    sqlx::query_as!(
        User,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One user, locked until the transaction ends, also against its logins.
pub async fn lock(conn: &mut PgConnection, id: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
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

/// The user, if it may still log in with this password hash; locked against changes until the transaction ends.
pub async fn hold_active(
    conn: &mut PgConnection,
    proven: &Credentials,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE id = $1 AND password_hash = $2 AND status = 'active' FOR SHARE",
        proven.id as _,
        proven.password_hash
    )
    .fetch_optional(conn)
    .await
}

/// Users, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR email = $2)
           AND ($3::text IS NULL OR role = $3) AND ($4::text IS NULL OR status = $4)
           AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
           AND ($8::timestamptz IS NULL OR created_at >= $8) AND ($9::timestamptz IS NULL OR created_at < $9)
         ORDER BY created_at DESC, id DESC LIMIT $7",
        scope.merchant(),
        filter.email,
        filter.role as _,
        filter.status as _,
        page.after_time(),
        page.after_id(),
        page.limit,
        filter.period.from,
        filter.period.to
    )
    .fetch_all(conn)
    .await
}

/// Writes a user's role and status, and since when they are so.
pub async fn update(conn: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE users SET role = $2, status = $3, access_changed_at = $4, updated_at = $5 WHERE id = $1",
        user.id as _,
        user.role as _,
        user.status as _,
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
        id as _,
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
        id as _,
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
    sqlx::query_as!(
        User,
        "SELECT id, email, role, merchant_id, status, access_changed_at, created_at, updated_at FROM users
         WHERE email = $1 AND setup_hash = ANY($2) AND setup_expires_at > $3 AND status = 'active' FOR UPDATE",
        email,
        hashes,
        now
    )
    .fetch_optional(conn)
    .await
}
