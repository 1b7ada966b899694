//! Bearer tokens: of people, of programs, of boxes. Only hashes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::{DeviceId, MerchantId, TokenId};

/// A token as it is stored.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The role, of a person's or a program's token.
    pub role: Option<String>,
    /// The merchant whose data it may see, for merchant roles.
    pub merchant_id: Option<MerchantId>,
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
        /// The role's name.
        role: &'a str,
        /// For merchant roles.
        merchant_id: Option<MerchantId>,
    },
    /// A box.
    Device(DeviceId),
}

/// Stores a token.
///
/// # Errors
/// The database's; `tokens_merchant` when the merchant does not exist.
pub async fn insert(
    conn: &mut PgConnection,
    id: TokenId,
    hash: &[u8],
    name: &str,
    holder: Holder<'_>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (role, merchant_id, device_id) = match holder {
        Holder::Role { role, merchant_id } => (Some(role), merchant_id, None),
        Holder::Device(device_id) => (None, None, Some(device_id)),
    };
    sqlx::query!(
        "INSERT INTO tokens (id, token_hash, name, role, merchant_id, device_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.as_uuid(),
        hash,
        name,
        role,
        merchant_id.map(MerchantId::as_uuid),
        device_id.map(DeviceId::as_uuid),
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live token with this hash. A token of a suspended or retired box is not live.
///
/// # Errors
/// The database's.
pub async fn find_live(
    conn: &mut PgConnection,
    hash: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Token>> {
    let row = sqlx::query!(
        r#"SELECT t.id, t.role, t.merchant_id, t.device_id, t.first_used_at IS NOT NULL AS "used!"
           FROM tokens t LEFT JOIN devices d ON d.id = t.device_id
           WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND t.expires_at > $2
             AND (t.device_id IS NULL OR d.status = 'active')"#,
        hash,
        now
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Token {
        id: row.id.into(),
        role: row.role,
        merchant_id: row.merchant_id.map(MerchantId::from_uuid),
        device_id: row.device_id.map(DeviceId::from_uuid),
        used: row.used,
    }))
}

/// Notes the first use of a token.
///
/// # Errors
/// The database's.
pub async fn mark_used(
    conn: &mut PgConnection,
    id: TokenId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE tokens SET first_used_at = $2 WHERE id = $1 AND first_used_at IS NULL",
        id.as_uuid(),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a box has used any of its live tokens.
///
/// # Errors
/// The database's.
pub async fn device_has_used_one(
    conn: &mut PgConnection,
    device_id: DeviceId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM tokens
           WHERE device_id = $1 AND revoked_at IS NULL AND first_used_at IS NOT NULL) AS "used!""#,
        device_id.as_uuid()
    )
    .fetch_one(conn)
    .await
}

/// Revokes all live tokens of a box.
///
/// # Errors
/// The database's.
pub async fn revoke_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE tokens SET revoked_at = $2 WHERE device_id = $1 AND revoked_at IS NULL",
        device_id.as_uuid(),
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
