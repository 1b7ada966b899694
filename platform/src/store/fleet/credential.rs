//! Device certificates: what was issued, what is valid, what is revoked.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::DeviceId;

/// A certificate that was issued to a device.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The serial number, lower-case hex.
    pub certificate_serial: String,
    /// SHA-256 of the public key (SPKI), hex.
    pub public_key_sha256: String,
    /// The certificate with its chain.
    pub certificate_pem: String,
    /// When it ends by itself.
    pub not_after: DateTime<Utc>,
    /// When it was first used.
    pub first_used_at: Option<DateTime<Utc>>,
}

/// Stores a new certificate.
///
/// # Errors
/// The database's.
pub async fn insert(
    conn: &mut PgConnection,
    device_id: DeviceId,
    credential: &Credential,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO device_credentials (certificate_serial, device_id, public_key_sha256, certificate_pem, not_after, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        credential.certificate_serial,
        device_id.as_uuid(),
        credential.public_key_sha256,
        credential.certificate_pem,
        credential.not_after,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The newest certificate of a device that is not revoked.
///
/// # Errors
/// The database's.
pub async fn find_newest(
    conn: &mut PgConnection,
    device_id: DeviceId,
) -> sqlx::Result<Option<Credential>> {
    sqlx::query_as!(
        Credential,
        "SELECT certificate_serial, public_key_sha256, certificate_pem, not_after, first_used_at FROM device_credentials
         WHERE device_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1",
        device_id.as_uuid()
    )
    .fetch_optional(conn)
    .await
}

/// Whether a device may use a certificate now: issued by us to it, not revoked, not outlived by its
/// successor, and the device active. Locks nothing.
///
/// # Errors
/// The database's.
pub async fn may_use(
    conn: &mut PgConnection,
    device_id: DeviceId,
    certificate_serial: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"SELECT c.first_used_at IS NOT NULL AS "used!" FROM device_credentials c JOIN devices d ON d.id = c.device_id
           WHERE c.certificate_serial = $2 AND c.device_id = $1 AND c.revoked_at IS NULL
             AND (c.superseded_until IS NULL OR c.superseded_until > $3) AND d.status = 'active'"#,
        device_id.as_uuid(),
        certificate_serial,
        now
    )
    .fetch_optional(conn)
    .await
}

/// Notes the first use of a certificate; whatever it succeeded ends now.
///
/// # Errors
/// The database's.
pub async fn mark_used(
    conn: &mut PgConnection,
    device_id: DeviceId,
    certificate_serial: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE device_credentials SET first_used_at = $2 WHERE certificate_serial = $1 AND first_used_at IS NULL",
        certificate_serial,
        now
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE device_credentials SET superseded_until = $3
         WHERE device_id = $1 AND certificate_serial <> $2 AND superseded_until > $3",
        device_id.as_uuid(),
        certificate_serial,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets the present certificates of a device end at `until`, because a successor is about to be issued.
///
/// # Errors
/// The database's.
pub async fn supersede(
    conn: &mut PgConnection,
    device_id: DeviceId,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE device_credentials SET superseded_until = $2
         WHERE device_id = $1 AND revoked_at IS NULL AND (superseded_until IS NULL OR superseded_until > $2)",
        device_id.as_uuid(),
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes all certificates of a device. The answer: the serial numbers of all that it ever had, also of those revoked
/// before, because a session may have outlived the use of its own.
///
/// # Errors
/// The database's.
pub async fn revoke_all(
    conn: &mut PgConnection,
    device_id: DeviceId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "UPDATE device_credentials
         SET revoked_at = coalesce(revoked_at, $2), revoked_reason = coalesce(revoked_reason, $3)
         WHERE device_id = $1
         RETURNING certificate_serial",
        device_id.as_uuid(),
        now,
        reason
    )
    .fetch_all(conn)
    .await
}
