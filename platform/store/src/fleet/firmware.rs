//! Firmware: the catalogue, and the figures of boxes that were updated.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{BulkCommandId, FirmwareId};

use crate::Page;

/// A firmware in the catalogue.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Firmware {
    pub id: FirmwareId,
    pub version: String,
    pub model: String,
    pub url: String,
    pub sha256: String,
    pub notes: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// Stores a new one.
///
/// # Errors
/// `firmwares_version_unique`.
pub async fn insert(conn: &mut PgConnection, firmware: &Firmware) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO firmwares (id, version, model, url, sha256, notes, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        firmware.id as _,
        firmware.version,
        firmware.model,
        firmware.url,
        firmware.sha256,
        firmware.notes,
        firmware.created_by,
        firmware.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One firmware.
pub async fn find(conn: &mut PgConnection, id: FirmwareId) -> sqlx::Result<Option<Firmware>> {
    sqlx::query_as!(Firmware, "SELECT * FROM firmwares WHERE id = $1", id as _)
        .fetch_optional(conn)
        .await
}

/// The catalogue, newest first.
pub async fn list(
    conn: &mut PgConnection,
    model: Option<&str>,
    version: Option<&str>,
    page: Page,
) -> sqlx::Result<Vec<Firmware>> {
    sqlx::query_as!(
        Firmware,
        "SELECT * FROM firmwares
         WHERE ($1::text IS NULL OR model = $1) AND ($2::text IS NULL OR version = $2)
           AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $5",
        model,
        version,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Payments of some boxes, and how many were not heard.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "counts of the same names")]
pub struct Heard {
    pub updated: bool,
    pub payments: i64,
    pub unheard: i64,
}

/// Payments that were to be announced in `since..until` on boxes of this model: those on boxes that had carried out
/// their command of this bulk command by then, and the others. What was closed because the box was unbound or the payment
/// taken back does not count.
pub async fn heard(
    conn: &mut PgConnection,
    bulk_command_id: BulkCommandId,
    model: &str,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> sqlx::Result<Vec<Heard>> {
    sqlx::query_as!(
        Heard,
        r#"SELECT coalesce(n.created_at >= c.ended_at, false) AS "updated!", count(*) AS "payments!",
                  count(*) FILTER (WHERE n.status <> 'played' AND NOT n.is_final) AS "unheard!"
           FROM devices d
           JOIN notifications n ON n.device_id = d.id AND n.created_at >= $3 AND n.created_at < $4 AND NOT n.replay
                                AND coalesce(n.reason, '') NOT IN ('unbound', 'reversed')
           LEFT JOIN commands c ON c.bulk_command_id = $1 AND c.device_id = d.id AND c.status = 'delivered'
           WHERE d.model = $2 GROUP BY 1"#,
        bulk_command_id as _,
        model,
        since,
        until
    )
    .fetch_all(conn)
    .await
}

/// How many boxes carried out their command of this bulk command before `before` and do not report `version`.
pub async fn count_unconfirmed(
    conn: &mut PgConnection,
    bulk_command_id: BulkCommandId,
    version: &str,
    before: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM commands c JOIN device_presence p ON p.device_id = c.device_id
           WHERE c.bulk_command_id = $1 AND c.status = 'delivered' AND c.ended_at < $2
             AND p.firmware_version IS DISTINCT FROM $3"#,
        bulk_command_id as _,
        before,
        version
    )
    .fetch_one(conn)
    .await
}
