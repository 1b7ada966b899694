//! Passwords of boxes that have no certificate. What becomes of one after it was made is in [`super::credential`].

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::DeviceId;

/// A box as its user name finds it, with a password that may be used now.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is a column, and what it says")]
pub struct Login {
    pub device_id: DeviceId,
    pub profile: String,
    pub serial_number: String,
    pub imei: Option<String>,
    pub product_key: Option<String>,
    /// The name of the password among the device's credentials; none when it has none that may be used now.
    pub credential: Option<String>,
    pub password_sha256: Option<Vec<u8>>,
}

/// The box with this user name: once for each password that may be used now, else once without one. Locks nothing.
pub async fn find(
    conn: &mut PgConnection,
    user_name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Login>> {
    sqlx::query_as!(
        Login,
        r#"SELECT d.id AS "device_id: DeviceId", d.profile, d.serial_number, d.imei, d.product_key,
               c.certificate_serial AS "credential?", c.password_sha256
           FROM devices d
           LEFT JOIN device_credentials c ON c.device_id = d.id AND c.kind = 'password' AND c.revoked_at IS NULL
               AND (c.superseded_until IS NULL OR c.superseded_until > $2) AND d.status = 'active'
           WHERE d.mqtt_user_name = $1"#,
        user_name,
        now
    )
    .fetch_all(conn)
    .await
}

/// Stores a new password of a device.
pub async fn insert(
    conn: &mut PgConnection,
    device_id: DeviceId,
    credential: &str,
    password_sha256: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO device_credentials (certificate_serial, device_id, kind, password_sha256, created_at)
         VALUES ($1, $2, 'password', $3, $4)",
        credential,
        device_id as _,
        password_sha256,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
