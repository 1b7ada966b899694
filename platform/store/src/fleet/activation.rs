//! Activation codes, and the count of wrong ones.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::DeviceId;

/// The code of a device that is neither revoked nor replaced.
#[derive(Debug, Clone)]
pub struct Code {
    /// The row's id.
    pub id: Uuid,
    /// SHA-256 of the code.
    pub code_hash: Vec<u8>,
    /// Until when it may be used.
    pub expires_at: DateTime<Utc>,
    /// When it was used first.
    pub used_at: Option<DateTime<Utc>>,
    /// The key it was used for.
    pub used_public_key_sha256: Option<String>,
}

/// Revokes whatever code is out and stores a new one.
pub async fn replace(
    conn: &mut PgConnection,
    id: Uuid,
    device_id: DeviceId,
    code_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    revoke(&mut *conn, device_id, now).await?;
    sqlx::query!(
        "INSERT INTO activation_codes (id, device_id, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        id,
        device_id as _,
        code_hash,
        now,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The open code of a device.
pub async fn find_open(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<Option<Code>> {
    sqlx::query_as!(
        Code,
        "SELECT id, code_hash, expires_at, used_at, used_public_key_sha256 FROM activation_codes
         WHERE device_id = $1 AND revoked_at IS NULL",
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Notes for which key a code was used.
pub async fn mark_used(
    conn: &mut PgConnection,
    id: Uuid,
    public_key_sha256: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE activation_codes SET used_at = coalesce(used_at, $2), used_public_key_sha256 = $3
         WHERE id = $1 AND (used_public_key_sha256 IS NULL OR used_public_key_sha256 = $3)",
        id,
        now,
        public_key_sha256
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// A wrong try: the serial number, and the network that it came from, where that is known.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Failure<'a> {
    pub serial_number: &'a str,
    pub address: Option<&'a str>,
}

/// Lets no other wrong try from the same address be counted until the transaction ends; without an address, none for
/// the same serial number.
pub async fn serialise(conn: &mut PgConnection, failure: Failure<'_>) -> sqlx::Result<()> {
    let name = match failure.address {
        Some(address) => format!("activation address {address}"),
        None => format!("activation serial {}", failure.serial_number),
    };
    crate::serialise(conn, &name).await
}

/// When the wrong try was made that is `count` tries back for this serial number from this address, if that was after
/// `since`.
pub async fn nth_of_pair(
    conn: &mut PgConnection,
    failure: Failure<'_>,
    since: DateTime<Utc>,
    count: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "SELECT failed_at FROM activation_failures
         WHERE serial_number = $1 AND address IS NOT DISTINCT FROM $4 AND failed_at > $2
         ORDER BY failed_at DESC OFFSET $3::bigint - 1 LIMIT 1",
        failure.serial_number,
        since,
        count,
        failure.address
    )
    .fetch_optional(conn)
    .await
}

/// The same for its address, whatever the serial number.
pub async fn nth_of_address(
    conn: &mut PgConnection,
    failure: Failure<'_>,
    since: DateTime<Utc>,
    count: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "SELECT failed_at FROM activation_failures WHERE address = $1 AND failed_at > $2
         ORDER BY failed_at DESC OFFSET $3::bigint - 1 LIMIT 1",
        failure.address,
        since,
        count
    )
    .fetch_optional(conn)
    .await
}

/// Counts one wrong try.
pub async fn record_failure(
    conn: &mut PgConnection,
    failure: Failure<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO activation_failures (serial_number, address, failed_at) VALUES ($1, $2, $3)",
        failure.serial_number,
        failure.address,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets wrong tries from before a time.
pub async fn forget_failures(conn: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM activation_failures WHERE failed_at < $1",
        before
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Revokes the code of a box, used or not.
pub async fn revoke(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE activation_codes SET revoked_at = $2 WHERE device_id = $1 AND revoked_at IS NULL",
        device_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes the code of a box that has been used.
pub async fn revoke_used(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE activation_codes SET revoked_at = $2 WHERE device_id = $1 AND used_at IS NOT NULL AND revoked_at IS NULL",
        device_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
