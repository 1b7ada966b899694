//! What each box should be set to, and what it last said it is set to.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::{BindingId, DeviceId};

/// The desired configuration of a box.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Desired {
    pub device_id: DeviceId,
    pub version: i64,
    pub config: Value,
    pub binding_id: Option<BindingId>,
    pub applied_version: Option<i64>,
    pub rejected_version: Option<i64>,
    pub rejected_reason: Option<String>,
    pub updated_at: DateTime<Utc>,
}

struct Row {
    device_id: Uuid,
    version: i64,
    config: Value,
    binding_id: Option<Uuid>,
    applied_version: Option<i64>,
    rejected_version: Option<i64>,
    rejected_reason: Option<String>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Desired {
    fn from(row: Row) -> Self {
        Self {
            device_id: row.device_id.into(),
            version: row.version,
            config: row.config,
            binding_id: row.binding_id.map(BindingId::from_uuid),
            applied_version: row.applied_version,
            rejected_version: row.rejected_version,
            rejected_reason: row.rejected_reason,
            updated_at: row.updated_at,
        }
    }
}

/// Stores the first version for a new box.
///
/// # Errors
/// The database's.
pub async fn insert(
    conn: &mut PgConnection,
    device_id: DeviceId,
    config: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO device_configs (device_id, version, config, updated_at, next_attempt_at) VALUES ($1, 1, $2, $3, $3)",
        device_id.as_uuid(),
        config,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The desired configuration of a box.
///
/// # Errors
/// The database's.
pub async fn find(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<Option<Desired>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT device_id, version, config, binding_id, applied_version, rejected_version, rejected_reason, updated_at
         FROM device_configs WHERE device_id = $1",
        device_id.as_uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Desired::from))
}

/// A new version with another binding.
///
/// # Errors
/// The database's.
pub async fn set_binding(
    conn: &mut PgConnection,
    device_id: DeviceId,
    binding_id: Option<BindingId>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE device_configs SET version = version + 1, binding_id = $2, updated_at = $3, attempts = 0, next_attempt_at = $3
         WHERE device_id = $1",
        device_id.as_uuid(),
        binding_id.map(BindingId::as_uuid),
        now
    )
    .execute(conn)
    .await?;
    crate::store::exactly_one(&result)
}

/// A configuration that a box has not acknowledged.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Due {
    pub desired: Desired,
    pub attempts: i32,
    pub payload_encoding: String,
}

/// The configurations that these boxes have neither applied nor rejected, due by `due_by`.
///
/// # Errors
/// The database's.
pub async fn due(
    conn: &mut PgConnection,
    devices: &[DeviceId],
    due_by: DateTime<Utc>,
) -> sqlx::Result<Vec<Due>> {
    let devices: Vec<Uuid> = devices.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        "SELECT c.device_id, c.version, c.config, c.binding_id, c.applied_version, c.rejected_version, c.rejected_reason,
                c.updated_at, c.attempts, d.payload_encoding
         FROM device_configs c JOIN devices d ON d.id = c.device_id
         WHERE c.device_id = ANY($1) AND c.next_attempt_at <= $2 AND d.status = 'active'
           AND c.applied_version IS DISTINCT FROM c.version AND c.rejected_version IS DISTINCT FROM c.version",
        &devices,
        due_by
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Due {
            attempts: row.attempts,
            payload_encoding: row.payload_encoding,
            desired: Row {
                device_id: row.device_id,
                version: row.version,
                config: row.config,
                binding_id: row.binding_id,
                applied_version: row.applied_version,
                rejected_version: row.rejected_version,
                rejected_reason: row.rejected_reason,
                updated_at: row.updated_at,
            }
            .into(),
        })
        .collect())
}

/// Connected boxes whose configuration is to be pushed again.
///
/// # Errors
/// The database's.
pub async fn devices_with_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<DeviceId>> {
    let rows = sqlx::query_scalar!(
        "SELECT c.device_id FROM device_configs c JOIN sessions s ON s.device_id = c.device_id AND s.connected
         WHERE c.next_attempt_at <= $1 AND c.applied_version IS DISTINCT FROM c.version
           AND c.rejected_version IS DISTINCT FROM c.version LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(DeviceId::from_uuid).collect())
}

/// A configuration that was handed to the wire.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// To which box.
    pub device_id: DeviceId,
    /// Which version.
    pub version: i64,
    /// When it is to be sent again, unless it was acknowledged.
    pub next_attempt_at: DateTime<Utc>,
}

/// Notes that configurations were pushed.
///
/// # Errors
/// The database's.
pub async fn mark_sent(conn: &mut PgConnection, sent: &[Sent]) -> sqlx::Result<()> {
    let devices: Vec<Uuid> = sent.iter().map(|sent| sent.device_id.as_uuid()).collect();
    let versions: Vec<i64> = sent.iter().map(|sent| sent.version).collect();
    let next: Vec<DateTime<Utc>> = sent.iter().map(|sent| sent.next_attempt_at).collect();
    // In device order, so that two batches never wait for each other crosswise.
    sqlx::query!(
        "WITH sent AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS s (device_id, version, next_attempt_at)),
         locked AS (SELECT c.device_id FROM device_configs c JOIN sent USING (device_id, version) ORDER BY c.device_id FOR UPDATE OF c)
         UPDATE device_configs c SET attempts = attempts + 1, next_attempt_at = s.next_attempt_at
         FROM sent s JOIN locked l USING (device_id) WHERE c.device_id = s.device_id AND c.version = s.version",
        &devices,
        &versions,
        &next
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a box's answer to a version; an answer to an older version is recorded as what it is.
///
/// # Errors
/// The database's.
pub async fn acknowledge(
    conn: &mut PgConnection,
    device_id: DeviceId,
    version: i64,
    rejected: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = match rejected {
        None => {
            sqlx::query!(
                "UPDATE device_configs SET applied_version = greatest(applied_version, $2), acked_at = $3
                 WHERE device_id = $1 AND version >= $2",
                device_id.as_uuid(),
                version,
                now
            )
            .execute(conn)
            .await?
        }
        Some(reason) => {
            sqlx::query!(
                "UPDATE device_configs SET rejected_version = greatest(rejected_version, $2), rejected_reason = $4, acked_at = $3
                 WHERE device_id = $1 AND version >= $2",
                device_id.as_uuid(),
                version,
                now,
                reason
            )
            .execute(conn)
            .await?
        }
    };
    Ok(result.rows_affected() == 1)
}
