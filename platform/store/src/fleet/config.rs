//! The desired configuration of each box, and the one that it last reported.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Encoding;
use wire::ids::{BindingId, DeviceId};

use crate::outbox::{Header, OutboxRow, Selection};
use crate::{Page, Scope, column};

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
    /// The box's own layer.
    pub layer: Value,
    pub reported_version: Option<i64>,
    pub reported: Option<Value>,
    pub acked_at: Option<DateTime<Utc>>,
    pub failed_version: Option<i64>,
    pub failed_reason: Option<String>,
}

/// Stores the first version for a new box.
pub async fn insert(
    conn: &mut PgConnection,
    device_id: DeviceId,
    config: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO device_configs (device_id, version, config, updated_at, next_attempt_at) VALUES ($1, 1, $2, $3, $3)",
        device_id as _,
        config,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The desired configuration of a box.
pub async fn find(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<Option<Desired>> {
    sqlx::query_as!(
        Desired,
        "SELECT device_id, version, config, binding_id, applied_version, rejected_version, rejected_reason, updated_at, layer,
                reported_version, reported, acked_at, failed_version, failed_reason
         FROM device_configs WHERE device_id = $1",
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Locks the configurations of boxes until the transaction ends, in the order of their ids.
pub async fn lock(conn: &mut PgConnection, devices: &[DeviceId]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT device_id FROM device_configs WHERE device_id = ANY($1) ORDER BY device_id FOR UPDATE",
        devices as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Writes a box's own layer. The caller holds the lock of its configuration.
pub async fn set_layer(
    conn: &mut PgConnection,
    device_id: DeviceId,
    layer: &Value,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE device_configs SET layer = $2 WHERE device_id = $1",
        device_id as _,
        layer
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Puts the layers of these boxes together again; those for which that makes something else get a new version. The
/// caller holds the locks of their configurations: what is read here was committed before, or is carried here later.
pub async fn refresh(
    conn: &mut PgConnection,
    devices: &[DeviceId],
    defaults: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        "UPDATE device_configs c SET version = c.version + 1, previous = c.config, config = e.config, updated_at = $3,
             attempts = 0, next_attempt_at = $3
         FROM (SELECT c.device_id, $2::jsonb || coalesce(f.config, '{}') || coalesce(m.config, '{}')
                                   || coalesce(o.config, '{}') || c.layer AS config
               FROM device_configs c
               LEFT JOIN bindings b ON b.device_id = c.device_id AND b.unbound_at IS NULL
               LEFT JOIN config_layers f ON f.kind = 'fleet'
               LEFT JOIN config_layers m ON m.kind = 'merchant' AND m.owner_id = b.merchant_id
               LEFT JOIN config_layers o ON o.kind = 'outlet' AND o.owner_id = b.outlet_id
               WHERE c.device_id = ANY($1)) e
         WHERE c.device_id = e.device_id AND c.config <> e.config
         RETURNING c.device_id",
        devices as _,
        defaults,
        now
    )
    .fetch_all(conn)
    .await
}

/// The layers above a box's own.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the layers of the same names")]
pub struct Above {
    pub fleet: Option<Value>,
    pub merchant: Option<Value>,
    pub outlet: Option<Value>,
}

/// The layers above a box's own, as they are now.
pub async fn above(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<Above> {
    sqlx::query_as!(
        Above,
        r#"SELECT f.config AS "fleet?", m.config AS "merchant?", o.config AS "outlet?"
           FROM device_configs c
           LEFT JOIN bindings b ON b.device_id = c.device_id AND b.unbound_at IS NULL
           LEFT JOIN config_layers f ON f.kind = 'fleet'
           LEFT JOIN config_layers m ON m.kind = 'merchant' AND m.owner_id = b.merchant_id
           LEFT JOIN config_layers o ON o.kind = 'outlet' AND o.owner_id = b.outlet_id
           WHERE c.device_id = $1"#,
        device_id as _
    )
    .fetch_one(conn)
    .await
}

/// Has configurations pushed (again), also where the box answered to this version before.
pub async fn request_push(
    conn: &mut PgConnection,
    devices: &[DeviceId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    lock(&mut *conn, devices).await?;
    sqlx::query!(
        "UPDATE device_configs SET push_requested = true, attempts = 0, next_attempt_at = $2 WHERE device_id = ANY($1)",
        devices as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives every configuration a version above all that were given before, and has it pushed; how many. Versions rise by one
/// and this sets them to the Unix time in seconds, which no number of changes overtakes.
pub async fn renumber(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH locked AS (SELECT device_id FROM device_configs ORDER BY device_id FOR UPDATE)
         UPDATE device_configs c SET version = greatest(c.version + 1, extract(epoch FROM $1::timestamptz)::bigint),
             previous = c.config, push_requested = true, attempts = 0, next_attempt_at = $1
         FROM locked l WHERE c.device_id = l.device_id",
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// A box whose configuration is not the one that it should have.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConfigDrift)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Drift {
    pub device_id: DeviceId,
    pub serial_number: String,
    /// `pending`, `rejected` by the box, or `failed`: it cannot be sent.
    pub status: String,
    pub version: i64,
    pub applied_version: Option<i64>,
    pub rejected_version: Option<i64>,
    pub rejected_reason: Option<String>,
    pub attempts: i32,
    pub online: bool,
    /// Since when.
    pub updated_at: DateTime<Utc>,
}

/// Active boxes that are not what they should be, the last to become so first.
pub async fn drift(
    conn: &mut PgConnection,
    scope: Scope,
    status: Option<&str>,
    page: Page,
) -> sqlx::Result<Vec<Drift>> {
    sqlx::query_as!(
        Drift,
        r#"SELECT c.device_id, d.serial_number,
                  CASE WHEN c.rejected_version = c.version THEN 'rejected' WHEN c.failed_version = c.version THEN 'failed'
                       ELSE 'pending' END AS "status!",
                  c.version, c.applied_version, c.rejected_version, c.rejected_reason, c.attempts, p.online, c.updated_at
           FROM device_configs c
           JOIN devices d ON d.id = c.device_id
           JOIN device_presence p ON p.device_id = c.device_id
           LEFT JOIN bindings b ON b.device_id = c.device_id AND b.unbound_at IS NULL
           WHERE c.applied_version IS DISTINCT FROM c.version AND d.status = 'active'
             AND ($1::uuid IS NULL OR b.merchant_id = $1)
             AND ($2::text IS NULL OR $2 = CASE WHEN c.rejected_version = c.version THEN 'rejected'
                                               WHEN c.failed_version = c.version THEN 'failed' ELSE 'pending' END)
             AND ($3::timestamptz IS NULL OR (c.updated_at, c.device_id) < ($3, $4::uuid))
           ORDER BY c.updated_at DESC, c.device_id DESC LIMIT $5"#,
        scope.merchant(),
        status,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// A new version with another binding.
pub async fn set_binding(
    conn: &mut PgConnection,
    device_id: DeviceId,
    binding_id: Option<BindingId>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE device_configs SET version = version + 1, previous = config, binding_id = $2, updated_at = $3, attempts = 0,
             next_attempt_at = $3
         WHERE device_id = $1",
        device_id as _,
        binding_id as _,
        now
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// A configuration that a box has not acknowledged.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct DueConfig {
    pub device_id: DeviceId,
    pub version: i64,
    pub config: Value,
    pub binding_id: Option<BindingId>,
    pub attempts: i32,
    pub payload_encoding: Encoding,
}

/// A version of a box's configuration.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct ConfigId {
    pub device_id: DeviceId,
    pub version: i64,
}

impl OutboxRow for DueConfig {
    type Id = ConfigId;

    fn header(&self) -> Header<ConfigId> {
        Header {
            device_id: self.device_id,
            id: ConfigId {
                device_id: self.device_id,
                version: self.version,
            },
            attempts: self.attempts,
            encoding: self.payload_encoding,
            expires_at: None,
        }
    }

    /// What the boxes have neither applied nor rejected. With `all` also what could not be sent before.
    async fn due(
        conn: &mut PgConnection,
        devices: &[DeviceId],
        selection: Selection,
    ) -> sqlx::Result<Vec<Self>> {
        sqlx::query_as!(
            DueConfig,
            "SELECT c.device_id, c.version, c.config, c.binding_id, c.attempts, d.payload_encoding
             FROM device_configs c JOIN devices d ON d.id = c.device_id
             WHERE c.device_id = ANY($1) AND c.next_attempt_at <= $2 AND d.status = 'active'
               AND (c.push_requested OR (c.applied_version IS DISTINCT FROM c.version
                                         AND c.rejected_version IS DISTINCT FROM c.version
                                         AND ($3 OR c.failed_version IS DISTINCT FROM c.version)))",
            devices as _,
            selection.due_by(),
            selection.all
        )
        .fetch_all(conn)
        .await
    }

    async fn devices_with_due(
        conn: &mut PgConnection,
        incarnation: i64,
        now: DateTime<Utc>,
        limit: i64,
    ) -> sqlx::Result<Vec<DeviceId>> {
        sqlx::query_scalar!(
            "SELECT c.device_id FROM device_configs c JOIN sessions s ON s.device_id = c.device_id AND s.connected AND s.incarnation = $3
             WHERE c.next_attempt_at <= $1
               AND (c.push_requested OR (c.applied_version IS DISTINCT FROM c.version
                                         AND c.rejected_version IS DISTINCT FROM c.version
                                         AND c.failed_version IS DISTINCT FROM c.version)) LIMIT $2",
            now,
            limit,
            incarnation
        )
        .fetch_all(conn)
        .await
    }

    async fn mark_sent(
        conn: &mut PgConnection,
        sent: &[(ConfigId, DateTime<Utc>)],
        _now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let (ids, next): (Vec<ConfigId>, Vec<DateTime<Utc>>) = sent.iter().copied().unzip();
        let devices: Vec<DeviceId> = ids.iter().map(|id| id.device_id).collect();
        let versions: Vec<i64> = ids.iter().map(|id| id.version).collect();
        sqlx::query!(
            "WITH sent AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS s (device_id, version, next_attempt_at)),
             locked AS (SELECT c.device_id FROM device_configs c JOIN sent USING (device_id, version) ORDER BY c.device_id FOR UPDATE OF c)
             UPDATE device_configs c SET attempts = attempts + 1, next_attempt_at = s.next_attempt_at
             FROM sent s JOIN locked l USING (device_id) WHERE c.device_id = s.device_id AND c.version = s.version",
            &devices as _,
            &versions,
            &next
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn postpone(
        conn: &mut PgConnection,
        unsent: &[Header<ConfigId>],
        until: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let devices = column(unsent, |one| one.device_id);
        sqlx::query!(
            "WITH locked AS (SELECT device_id FROM device_configs WHERE device_id = ANY($1) ORDER BY device_id FOR UPDATE)
             UPDATE device_configs c SET next_attempt_at = $2 FROM locked l WHERE c.device_id = l.device_id",
            &devices as _,
            until
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// The version is not pushed again until another one replaces it, it is requested, or the box connects again.
    async fn fail(
        conn: &mut PgConnection,
        unsent: &Header<ConfigId>,
        reason: &str,
        _now: DateTime<Utc>,
    ) -> sqlx::Result<bool> {
        let result = sqlx::query!(
            "UPDATE device_configs SET failed_version = version, failed_reason = $3, push_requested = false
             WHERE device_id = $1 AND version = $2
               AND (push_requested OR (applied_version IS DISTINCT FROM version AND rejected_version IS DISTINCT FROM version))",
            unsent.device_id as _,
            unsent.id.version,
            reason
        )
        .execute(conn)
        .await?;
        Ok(result.rows_affected() == 1)
    }
}

/// Takes a box's answer to a version; an answer to an older version is recorded as what it is. What the box applied is
/// known while it is the present version or the one before.
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
                "UPDATE device_configs SET
                     reported = CASE WHEN $2 < applied_version THEN reported WHEN $2 = version THEN config
                                     WHEN $2 = version - 1 THEN previous ELSE reported END,
                     reported_version = CASE WHEN $2 < applied_version THEN reported_version
                                             WHEN $2 >= version - 1 THEN $2 ELSE reported_version END,
                     applied_version = greatest(applied_version, $2),
                     rejected_version = nullif(rejected_version, $2),
                     rejected_reason = CASE WHEN rejected_version = $2 THEN NULL ELSE rejected_reason END,
                     push_requested = push_requested AND $2 <> version, acked_at = $3
                 WHERE device_id = $1 AND version >= $2",
                device_id as _,
                version,
                now
            )
            .execute(conn)
            .await?
        }
        Some(reason) => {
            sqlx::query!(
                "UPDATE device_configs SET rejected_version = greatest(rejected_version, $2), rejected_reason = $4,
                     push_requested = push_requested AND $2 <> version, acked_at = $3
                 WHERE device_id = $1 AND version >= $2",
                device_id as _,
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
