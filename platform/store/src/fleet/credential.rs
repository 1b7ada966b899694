//! Device credentials: certificates, and the passwords of boxes that have none; what was issued, what is valid, what is
//! revoked.

use chrono::{DateTime, TimeDelta, Utc};
use domain::credential::RevocationReason;
use sqlx::PgConnection;
use wire::ids::DeviceId;

use crate::{Page, column};

/// The NOTIFY channel on which processes learn whose certificates have ended.
pub const ENDED_CHANNEL: &str = "credentials_ended";

/// A certificate that was issued to a device. In what follows a password counts as one, unless something else is said: its
/// name is in the place of the serial number.
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
        device_id as _,
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
pub async fn find_newest(
    conn: &mut PgConnection,
    device_id: DeviceId,
) -> sqlx::Result<Option<Credential>> {
    sqlx::query_as!(
        Credential,
        r#"SELECT certificate_serial, public_key_sha256 AS "public_key_sha256!", certificate_pem AS "certificate_pem!",
             not_after AS "not_after!", first_used_at FROM device_credentials
         WHERE device_id = $1 AND kind = 'certificate' AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1"#,
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Whether each device may use its certificate now, in their order: we issued it to that device, it is not revoked, no
/// successor of it was used, and the device is active. `Some(false)`: it may, and never has. Locks nothing.
pub async fn may_use(
    conn: &mut PgConnection,
    uses: &[(DeviceId, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Option<bool>>> {
    let devices = column(uses, |(device_id, _)| *device_id);
    let serials = column(uses, |(_, serial)| *serial);
    sqlx::query_scalar!(
        r#"SELECT (SELECT c.first_used_at IS NOT NULL FROM device_credentials c JOIN devices d ON d.id = c.device_id
                   WHERE c.certificate_serial = u.certificate_serial AND c.device_id = u.device_id AND c.revoked_at IS NULL
                     AND (c.superseded_until IS NULL OR c.superseded_until > $3) AND d.status = 'active') AS used
           FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS u (device_id, certificate_serial, place) ORDER BY u.place"#,
        &devices as _,
        &serials as _,
        now
    )
    .fetch_all(conn)
    .await
}

/// Notes the first uses of certificates by their devices; whatever they succeeded ends now. The answer: those, with their
/// devices.
pub async fn mark_used(
    conn: &mut PgConnection,
    uses: &[(DeviceId, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(DeviceId, String)>> {
    let devices = column(uses, |(device_id, _)| *device_id);
    let serials = column(uses, |(_, serial)| *serial);
    sqlx::query!(
        "UPDATE device_credentials SET first_used_at = $2 WHERE certificate_serial = ANY($1) AND first_used_at IS NULL",
        &serials as _,
        now
    )
    .execute(&mut *conn)
    .await?;
    let ended = sqlx::query!(
        "UPDATE device_credentials SET superseded_until = $3
         WHERE device_id = ANY($1) AND certificate_serial <> ALL($2) AND superseded_until > $3
         RETURNING device_id, certificate_serial",
        &devices as _,
        &serials as _,
        now
    )
    .fetch_all(conn)
    .await?;
    let ended = ended
        .into_iter()
        .map(|row| (row.device_id, row.certificate_serial));
    Ok(ended.collect())
}

/// Lets the present certificates of a device end at `until`, because a successor is about to be issued.
pub async fn supersede(
    conn: &mut PgConnection,
    device_id: DeviceId,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE device_credentials SET superseded_until = $2
         WHERE device_id = $1 AND revoked_at IS NULL AND (superseded_until IS NULL OR superseded_until > $2)",
        device_id as _,
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes all certificates of a device. The answer: the serial numbers of all that it ever had, each with whether it was
/// not revoked before.
pub async fn revoke_all(
    conn: &mut PgConnection,
    device_id: DeviceId,
    reason: RevocationReason,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(String, bool)>> {
    let rows = sqlx::query!(
        r#"WITH before AS (
               SELECT certificate_serial, revoked_at IS NULL AS fresh FROM device_credentials
               WHERE device_id = $1 FOR UPDATE)
           UPDATE device_credentials c
           SET revoked_at = coalesce(c.revoked_at, $2), revoked_reason = coalesce(c.revoked_reason, $3)
           FROM before WHERE c.certificate_serial = before.certificate_serial
           RETURNING c.certificate_serial, before.fresh AS "fresh!""#,
        device_id as _,
        now,
        reason as _
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.certificate_serial, row.fresh))
        .collect())
}

/// What is known of a certificate.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is a column, and what it says")]
pub struct Record {
    pub certificate_serial: String,
    pub public_key_sha256: String,
    pub created_at: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub first_used_at: Option<DateTime<Utc>>,
    pub superseded_until: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_reason: Option<RevocationReason>,
}

/// The certificates that a device ever had, newest first. A page's place is the first half of a serial number, which is
/// random enough to be an id.
pub async fn list(
    conn: &mut PgConnection,
    device_id: DeviceId,
    page: Page,
) -> sqlx::Result<Vec<Record>> {
    sqlx::query_as!(
        Record,
        r#"SELECT certificate_serial, public_key_sha256 AS "public_key_sha256!", created_at, not_after AS "not_after!",
             first_used_at, superseded_until, revoked_at, revoked_reason
         FROM device_credentials
         WHERE device_id = $1 AND kind = 'certificate'
             AND ($2::timestamptz IS NULL OR (created_at, left(certificate_serial, 32)) < ($2, $3::text))
         ORDER BY created_at DESC, certificate_serial DESC LIMIT $4"#,
        device_id as _,
        page.after_time(),
        page.after_id().map(|id| id.simple().to_string()),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// One certificate of a device, locked until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    device_id: DeviceId,
    certificate_serial: &str,
) -> sqlx::Result<Option<Record>> {
    sqlx::query_as!(
        Record,
        r#"SELECT certificate_serial, public_key_sha256 AS "public_key_sha256!", created_at, not_after AS "not_after!",
             first_used_at, superseded_until, revoked_at, revoked_reason
         FROM device_credentials WHERE device_id = $1 AND certificate_serial = $2 AND kind = 'certificate' FOR UPDATE"#,
        device_id as _,
        certificate_serial
    )
    .fetch_optional(conn)
    .await
}

/// Revokes one certificate that is not revoked yet.
pub async fn revoke(
    conn: &mut PgConnection,
    certificate_serial: &str,
    reason: RevocationReason,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE device_credentials SET revoked_at = $2, revoked_reason = $3
         WHERE certificate_serial = $1 AND revoked_at IS NULL",
        certificate_serial,
        now,
        reason as _
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Notifies the other processes, once this is committed, to check a device's certificates again.
pub async fn announce_end(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_notify($1, $2)",
        ENDED_CHANNEL,
        device_id.to_string()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The serial numbers of a device's certificates that may not be used now.
pub async fn ended(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT c.certificate_serial FROM device_credentials c JOIN devices d ON d.id = c.device_id
         WHERE c.device_id = $1 AND (c.revoked_at IS NOT NULL OR c.superseded_until <= $2 OR c.not_after <= $2
             OR d.status <> 'active')",
        device_id as _,
        now
    )
    .fetch_all(conn)
    .await
}

/// The connected sessions of a node whose certificates may not be used now, with those certificates' serial numbers.
pub async fn ended_sessions(
    conn: &mut PgConnection,
    node: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(DeviceId, String)>> {
    let rows = sqlx::query!(
        "SELECT s.device_id, s.certificate_serial FROM sessions s
         JOIN device_credentials c ON c.certificate_serial = s.certificate_serial
         JOIN devices d ON d.id = s.device_id
         WHERE s.node = $1 AND s.connected AND (c.revoked_at IS NOT NULL OR c.superseded_until <= $2
             OR c.not_after <= $2 OR d.status <> 'active')",
        node,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.device_id, row.certificate_serial))
        .collect())
}

/// A certificate that must not be trusted any longer.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its serial number, hex.
    pub certificate_serial: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why, in the words of [`RevocationReason`].
    pub reason: RevocationReason,
}

/// All certificates that were revoked or have been replaced, and would be valid after `expired_before` otherwise, in
/// the order of their serial numbers; services' too, whose ends are not known.
pub async fn revoked(
    conn: &mut PgConnection,
    expired_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"SELECT certificate_serial AS "certificate_serial!", at AS "at!", reason AS "reason!: RevocationReason" FROM (
               SELECT certificate_serial, revoked_at AS at, coalesce(revoked_reason, 'unspecified') AS reason
               FROM device_credentials WHERE revoked_at IS NOT NULL AND not_after > $1
               UNION ALL
               SELECT certificate_serial, superseded_until, 'superseded'
               FROM device_credentials WHERE revoked_at IS NULL AND superseded_until <= $2 AND not_after > $1
               UNION ALL
               SELECT certificate_serial, revoked_at, 'unspecified' FROM observers WHERE revoked_at IS NOT NULL
           ) AS ended ORDER BY certificate_serial"#,
        expired_before,
        now
    )
    .fetch_all(conn)
    .await
}

/// How the certificates of the fleet expire: for every active device the one that lasts longest counts.
#[derive(Debug, Clone, Default)]
pub struct Expiry {
    /// Active devices.
    pub devices: i64,
    /// Of these, expired for longer than the grace period.
    pub expired: i64,
    /// Expired within it.
    pub in_grace: i64,
    /// Days since `origin` and how many expire on that day.
    pub days: Vec<(i32, i64)>,
}

/// Counts expiries by days since `origin`.
pub async fn expiry(
    conn: &mut PgConnection,
    origin: DateTime<Utc>,
    grace: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<Expiry> {
    let devices =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM devices WHERE status = 'active'"#)
            .fetch_one(&mut *conn)
            .await?;
    // -2: expired, -1: in grace.
    let rows = sqlx::query!(
        r#"SELECT CASE WHEN not_after <= $3 THEN -2 WHEN not_after <= $1 THEN -1
                  ELSE floor(extract(epoch FROM not_after - $2::timestamptz) / 86400)::int END AS "day!",
               count(*) AS "count!"
           FROM (SELECT c.device_id, max(c.not_after) AS not_after FROM device_credentials c
                 WHERE c.kind = 'certificate' AND c.revoked_at IS NULL
                   AND (c.superseded_until IS NULL OR c.superseded_until > $1)
                 GROUP BY c.device_id) AS latest
           JOIN devices d ON d.id = latest.device_id AND d.status = 'active'
           GROUP BY 1 ORDER BY 1"#,
        now,
        origin,
        now - grace
    )
    .fetch_all(conn)
    .await?;
    let mut expiry = Expiry {
        devices,
        ..Expiry::default()
    };
    for row in rows {
        match row.day {
            -2 => expiry.expired = row.count,
            -1 => expiry.in_grace = row.count,
            day => expiry.days.push((day, row.count)),
        }
    }
    Ok(expiry)
}
