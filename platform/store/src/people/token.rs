//! Bearer tokens: of people, of programs, of boxes. Only hashes.

use chrono::{DateTime, Utc};
use domain::role::Role;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{DeviceId, MerchantId, TokenId, UserId};

use crate::{Page, Period, Scope, exactly_one};

/// A token as it is stored.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The role, of a person's or a program's token.
    pub role: Option<Role>,
    /// The merchant whose data it may see, for merchant roles.
    pub merchant_id: Option<MerchantId>,
    /// The user whose login made it.
    pub user_id: Option<UserId>,
    /// The box it belongs to.
    pub device_id: Option<DeviceId>,
    /// Whether it was used before.
    pub used: bool,
}

/// What a new token is for.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// Staff or merchant users.
    Role {
        /// The role.
        role: Role,
        /// For merchant roles.
        merchant_id: Option<MerchantId>,
        /// The user who logged in.
        user_id: Option<UserId>,
    },
    /// A box, and the certificate that was issued with it.
    Device {
        /// Which box.
        device_id: DeviceId,
        /// The certificate's serial number.
        certificate_serial: &'a str,
    },
}

/// A person's or a program's token, as the API shows it: never the token itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct TokenView {
    pub id: TokenId,
    pub name: String,
    pub role: Role,
    pub merchant_id: Option<MerchantId>,
    pub user_id: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub first_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Which tokens a list is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this role.
    pub role: Option<Role>,
    /// Those that this user's logins made.
    pub user_id: Option<UserId>,
    /// When it was made.
    pub period: Period,
}

/// Stores a token.
///
/// # Errors
/// `tokens_merchant` when the merchant does not exist.
pub async fn insert(
    conn: &mut PgConnection,
    id: TokenId,
    hash: &[u8],
    name: &str,
    holder: Holder<'_>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (role, merchant_id, user_id, device) = match holder {
        Holder::Role {
            role,
            merchant_id,
            user_id,
        } => (Some(role), merchant_id, user_id, None),
        Holder::Device {
            device_id,
            certificate_serial,
        } => (None, None, None, Some((device_id, certificate_serial))),
    };
    sqlx::query!(
        "INSERT INTO tokens (id, token_hash, name, role, merchant_id, user_id, device_id, created_at, expires_at,
             certificate_serial)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id as _,
        hash,
        name,
        role as _,
        merchant_id as _,
        user_id as _,
        device.map(|(device_id, _)| device_id) as _,
        now,
        expires_at,
        device.map(|(_, certificate_serial)| certificate_serial),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live token with this hash. A token of a suspended or retired box is not live.
pub async fn find_live(
    conn: &mut PgConnection,
    hash: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Token>> {
    sqlx::query_as!(
        Token,
        r#"SELECT t.id, t.role, t.merchant_id, t.user_id, t.device_id, t.first_used_at IS NOT NULL AS "used!"
           FROM tokens t LEFT JOIN devices d ON d.id = t.device_id
           WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND t.expires_at > $2
             AND (t.device_id IS NULL OR d.status = 'active')"#,
        hash,
        now
    )
    .fetch_optional(conn)
    .await
}

/// Those of these tokens that are live.
pub async fn still_valid(
    conn: &mut PgConnection,
    ids: &[TokenId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<TokenId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: TokenId" FROM tokens WHERE id = ANY($1) AND revoked_at IS NULL AND expires_at > $2"#,
        ids as _,
        now
    )
    .fetch_all(conn)
    .await
}

/// Notes the first use of a token.
pub async fn mark_used(
    conn: &mut PgConnection,
    id: TokenId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE tokens SET first_used_at = $2 WHERE id = $1 AND first_used_at IS NULL",
        id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a box has used any of its live tokens.
pub async fn device_has_used_one(
    conn: &mut PgConnection,
    device_id: DeviceId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM tokens
           WHERE device_id = $1 AND revoked_at IS NULL AND first_used_at IS NOT NULL) AS "used!""#,
        device_id as _
    )
    .fetch_one(conn)
    .await
}

/// Lets the present tokens of a box end at `until`, because a successor is about to be made.
pub async fn supersede_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE tokens SET expires_at = $2 WHERE device_id = $1 AND revoked_at IS NULL AND expires_at > $2",
        device_id as _,
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the tokens of a box that are older than this one, which has just been used for the first time.
pub async fn end_predecessors(
    conn: &mut PgConnection,
    device_id: DeviceId,
    successor: TokenId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE tokens SET revoked_at = $3 WHERE device_id = $1 AND revoked_at IS NULL
             AND created_at < (SELECT created_at FROM tokens WHERE id = $2)",
        device_id as _,
        successor as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes the live token that was issued with a certificate.
pub async fn revoke_with_certificate(
    conn: &mut PgConnection,
    device_id: DeviceId,
    certificate_serial: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE tokens SET revoked_at = $3 WHERE device_id = $1 AND certificate_serial = $2 AND revoked_at IS NULL",
        device_id as _,
        certificate_serial,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes all live tokens of a box.
pub async fn revoke_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE tokens SET revoked_at = $2 WHERE device_id = $1 AND revoked_at IS NULL",
        device_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// A person's or a program's token, locked until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: TokenId) -> sqlx::Result<Option<TokenView>> {
    sqlx::query_as!(
        TokenView,
        r#"SELECT id, name, role AS "role!", merchant_id, user_id, created_at, expires_at, first_used_at, revoked_at
           FROM tokens WHERE id = $1 AND role IS NOT NULL FOR UPDATE"#,
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// People's and programs' tokens, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<TokenView>> {
    sqlx::query_as!(
        TokenView,
        r#"SELECT id, name, role AS "role!", merchant_id, user_id, created_at, expires_at, first_used_at, revoked_at
           FROM tokens
           WHERE role IS NOT NULL AND ($1::uuid IS NULL OR merchant_id = $1)
             AND ($2::text IS NULL OR role = $2) AND ($3::uuid IS NULL OR user_id = $3)
             AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
             AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
           ORDER BY created_at DESC, id DESC LIMIT $6"#,
        scope.merchant(),
        filter.role as _,
        filter.user_id as _,
        page.after_time(),
        page.after_id(),
        page.limit,
        filter.period.from,
        filter.period.to
    )
    .fetch_all(conn)
    .await
}

/// Revokes a person's or a program's token that is not revoked yet.
pub async fn revoke(conn: &mut PgConnection, id: TokenId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND role IS NOT NULL AND revoked_at IS NULL",
        id as _,
        now
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Revokes all live tokens that a user's logins made, but for `kept`.
pub async fn revoke_user(
    conn: &mut PgConnection,
    user_id: UserId,
    kept: Option<TokenId>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE tokens SET revoked_at = $3 WHERE user_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id <> $2)",
        user_id as _,
        kept as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
