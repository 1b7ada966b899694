//! Bulk commands: one command to many boxes, its targets, and its progress.

use chrono::{DateTime, Utc};
use domain::command::{CommandStatus, CommandType};
use domain::device::{Capability, DeviceStatus};
use domain::rollout::RolloutStatus;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{BulkCommandId, CommandId, DeviceId, FirmwareId, MerchantId};

use crate::{Page, Period};

/// A bulk command as it is stored.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct BulkCommand {
    pub id: BulkCommandId,
    pub command_type: CommandType,
    pub payload: Value,
    pub expires_in_s: i32,
    pub query: Value,
    pub rollout: Value,
    pub firmware_id: Option<FirmwareId>,
    pub guard: Option<Value>,
    pub status: RolloutStatus,
    pub reason: Option<String>,
    pub target_count: i32,
    pub skipped_count: i32,
    pub released_count: i32,
    pub step: i32,
    pub next_release_at: DateTime<Utc>,
    pub ended_before: i64,
    pub failed_before: i64,
    pub guard_seen: Option<Value>,
    pub guard_seen_at: Option<DateTime<Utc>>,
    pub resumed_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// Stores a new one, without its targets.
pub async fn insert(conn: &mut PgConnection, bulk: &BulkCommand) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO bulk_commands (id, command_type, payload, expires_in_s, query, rollout, firmware_id, guard, status,
             target_count, skipped_count, next_release_at, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        bulk.id as _,
        bulk.command_type as _,
        bulk.payload,
        bulk.expires_in_s,
        bulk.query,
        bulk.rollout,
        bulk.firmware_id as _,
        bulk.guard,
        bulk.status as _,
        bulk.target_count,
        bulk.skipped_count,
        bulk.next_release_at,
        bulk.created_by,
        bulk.created_at,
        bulk.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which boxes a bulk command is for.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Selection {
    pub tag: Option<String>,
    pub merchant_id: Option<MerchantId>,
    pub model: Option<String>,
    pub firmware_version: Option<String>,
    pub online: Option<bool>,
    pub device_ids: Option<Vec<DeviceId>>,
    /// None that runs this firmware already.
    pub not_firmware_version: Option<String>,
}

/// Chooses the targets, at most `limit`: active boxes, those that lack the capability, or whose profile is not one of these, last and marked so. Their order
/// is that of a hash, so that the first are spread over merchants and ages. How many, and how many lack the capability.
pub async fn choose_targets(
    conn: &mut PgConnection,
    id: BulkCommandId,
    selection: &Selection,
    capability: Option<Capability>,
    profiles: &[String],
    limit: i64,
) -> sqlx::Result<(i64, i64)> {
    let chosen = sqlx::query!(
        r#"WITH chosen AS (
               SELECT d.id, ($2::text IS NULL OR $2 = ANY(d.capabilities)) AND d.profile = ANY($11) AS capable
               FROM devices d
               JOIN device_presence p ON p.device_id = d.id
               LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
               WHERE d.status = 'active'
                 AND ($3::text IS NULL OR d.tags @> ARRAY[$3])
                 AND ($4::uuid IS NULL OR b.merchant_id = $4)
                 AND ($5::text IS NULL OR d.model = $5)
                 AND ($6::text IS NULL OR p.firmware_version = $6)
                 AND ($7::boolean IS NULL OR p.online = $7)
                 AND ($8::uuid[] IS NULL OR d.id = ANY($8))
                 AND ($9::text IS NULL OR p.firmware_version IS DISTINCT FROM $9)
               LIMIT $10),
           inserted AS (
               INSERT INTO bulk_command_targets (bulk_command_id, position, device_id, skipped)
               SELECT $1, row_number() OVER (ORDER BY capable DESC, hashtextextended(id::text, hashtext($1::uuid::text)), id)::int - 1,
                      id, CASE WHEN NOT capable THEN 'capability' END
               FROM chosen
               RETURNING skipped)
           SELECT count(*) AS "count!", count(skipped) AS "skipped!" FROM inserted"#,
        id as _,
        capability as _,
        selection.tag,
        selection.merchant_id as _,
        selection.model,
        selection.firmware_version,
        selection.online,
        selection.device_ids as _,
        selection.not_firmware_version,
        limit,
        profiles
    )
    .fetch_one(conn)
    .await?;
    Ok((chosen.count, chosen.skipped))
}

/// Writes how many targets were chosen.
pub async fn set_targets(conn: &mut PgConnection, bulk: &BulkCommand) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE bulk_commands SET target_count = $2, skipped_count = $3 WHERE id = $1",
        bulk.id as _,
        bulk.target_count,
        bulk.skipped_count
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// One bulk command.
pub async fn find(conn: &mut PgConnection, id: BulkCommandId) -> sqlx::Result<Option<BulkCommand>> {
    sqlx::query_as!(
        BulkCommand,
        "SELECT * FROM bulk_commands WHERE id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// One bulk command, its row locked until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: BulkCommandId) -> sqlx::Result<Option<BulkCommand>> {
    sqlx::query_as!(
        BulkCommand,
        "SELECT * FROM bulk_commands WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// One that is not over, its row locked; `None` while another transaction holds it.
pub async fn lock_idle(
    conn: &mut PgConnection,
    id: BulkCommandId,
) -> sqlx::Result<Option<BulkCommand>> {
    sqlx::query_as!(
        BulkCommand,
        "SELECT * FROM bulk_commands WHERE id = $1 AND ended_at IS NULL FOR UPDATE SKIP LOCKED",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Those that the job has to advance.
pub async fn at_work(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<BulkCommandId>> {
    sqlx::query_scalar!(
        "SELECT id FROM bulk_commands WHERE ended_at IS NULL AND status IN ('running', 'cancelled') ORDER BY id LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await
}

/// How many are not over.
pub async fn count_open(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM bulk_commands WHERE ended_at IS NULL"#)
        .fetch_one(conn)
        .await
}

/// Which bulk commands a list has; what is None does not limit it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this status.
    pub status: Option<RolloutStatus>,
    /// Of this command.
    pub command_type: Option<CommandType>,
    /// Roll-outs of this firmware.
    pub firmware_id: Option<FirmwareId>,
    /// What the version of its firmware, or the name of who made it, contains, in any case.
    pub search: Option<String>,
    /// When it was made.
    pub period: Period,
}

/// Bulk commands, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<BulkCommand>> {
    sqlx::query_as!(
        BulkCommand,
        "SELECT * FROM bulk_commands
         WHERE ($1::text IS NULL OR status = $1) AND ($2::uuid IS NULL OR firmware_id = $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3) AND ($4::timestamptz IS NULL OR created_at < $4)
           AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
           AND ($8::text IS NULL OR command_type = $8)
           AND ($9::text IS NULL OR strpos(lower(concat_ws(' ', payload ->> 'version', created_by)), lower($9)) > 0)
         ORDER BY created_at DESC, id DESC LIMIT $7",
        filter.status as _,
        filter.firmware_id as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit,
        filter.command_type as _,
        filter.search
    )
    .fetch_all(conn)
    .await
}

/// How many commands of a bulk command have this status.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Count {
    pub bulk_command_id: BulkCommandId,
    pub status: CommandStatus,
    pub count: i64,
}

/// How far these bulk commands have come.
pub async fn counts(conn: &mut PgConnection, ids: &[BulkCommandId]) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"SELECT bulk_command_id AS "bulk_command_id!", status, count(*) AS "count!"
           FROM commands WHERE bulk_command_id = ANY($1) GROUP BY bulk_command_id, status"#,
        ids as _
    )
    .fetch_all(conn)
    .await
}

/// One target of each merchant that has any, at most two: those that lack the capability are left out, those that stand
/// nowhere count as of one merchant.
pub async fn target_of_each_merchant(
    conn: &mut PgConnection,
    id: BulkCommandId,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        "SELECT DISTINCT ON (b.merchant_id) t.device_id FROM bulk_command_targets t
         LEFT JOIN bindings b ON b.device_id = t.device_id AND b.unbound_at IS NULL
         WHERE t.bulk_command_id = $1 AND t.skipped IS NULL ORDER BY b.merchant_id, t.position LIMIT 2",
        id as _
    )
    .fetch_all(conn)
    .await
}

/// A target whose turn it is.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what decides whether it gets a command")]
pub struct Candidate {
    pub device_id: DeviceId,
    pub skipped: Option<String>,
    pub device_status: DeviceStatus,
    pub capable: bool,
    pub open_commands: i64,
}

/// The targets at the positions `from..to`.
pub async fn candidates(
    conn: &mut PgConnection,
    id: BulkCommandId,
    from: i32,
    to: i32,
    capability: Option<Capability>,
    profiles: &[String],
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"SELECT t.device_id, t.skipped, d.status AS device_status, ($4::text IS NULL OR $4 = ANY(d.capabilities)) AND d.profile = ANY($5) AS "capable!",
                  (SELECT count(*) FROM commands c WHERE c.device_id = t.device_id AND c.status IN ('queued', 'sent')) AS "open_commands!"
           FROM bulk_command_targets t JOIN devices d ON d.id = t.device_id
           WHERE t.bulk_command_id = $1 AND t.position >= $2 AND t.position < $3 ORDER BY t.position"#,
        id as _,
        from,
        to,
        capability as _,
        profiles
    )
    .fetch_all(conn)
    .await
}

/// Puts commands of a bulk command into the outboxes of these boxes.
///
/// # Errors
/// `commands_once_for_bulk`.
pub async fn release(
    conn: &mut PgConnection,
    bulk: &BulkCommand,
    commands: &[(CommandId, DeviceId)],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (ids, devices): (Vec<CommandId>, Vec<DeviceId>) = commands.iter().copied().unzip();
    sqlx::query!(
        "WITH orders AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS o (id, device_id)),
         inserted AS (
             INSERT INTO commands (id, device_id, type, payload, status, created_by, created_at, expires_at, next_attempt_at,
                                   bulk_command_id)
             SELECT id, device_id, $3, $4, 'queued', $5, $6, $7, $6, $8 FROM orders)
         UPDATE bulk_command_targets t SET command_id = o.id
         FROM orders o WHERE t.bulk_command_id = $8 AND t.device_id = o.device_id",
        &ids as _,
        &devices as _,
        bulk.command_type as _,
        bulk.payload,
        bulk.id.to_string(),
        now,
        expires_at,
        bulk.id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records why boxes get no command.
pub async fn skip(
    conn: &mut PgConnection,
    id: BulkCommandId,
    skipped: &[(DeviceId, &'static str)],
) -> sqlx::Result<()> {
    let devices: Vec<DeviceId> = skipped.iter().map(|(id, _)| *id).collect();
    let reasons: Vec<String> = skipped
        .iter()
        .map(|(_, reason)| (*reason).to_owned())
        .collect();
    sqlx::query!(
        "UPDATE bulk_command_targets t SET skipped = s.reason
         FROM unnest($2::uuid[], $3::text[]) AS s (device_id, reason)
         WHERE t.bulk_command_id = $1 AND t.device_id = s.device_id",
        id as _,
        &devices as _,
        &reasons
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes back what changes of a bulk command. The caller holds its row's lock.
pub async fn update(conn: &mut PgConnection, bulk: &BulkCommand) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE bulk_commands SET status = $2, reason = $3, skipped_count = $4, released_count = $5, step = $6,
             next_release_at = $7, ended_before = $8, failed_before = $9, guard_seen = $10, guard_seen_at = $11,
             updated_at = $12, ended_at = $13, resumed_at = $14
         WHERE id = $1",
        bulk.id as _,
        bulk.status as _,
        bulk.reason,
        bulk.skipped_count,
        bulk.released_count,
        bulk.step,
        bulk.next_release_at,
        bulk.ended_before,
        bulk.failed_before,
        bulk.guard_seen,
        bulk.guard_seen_at,
        bulk.updated_at,
        bulk.ended_at,
        bulk.resumed_at
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Aborts a running bulk command; `false` when it does not run.
pub async fn abort(
    conn: &mut PgConnection,
    id: BulkCommandId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE bulk_commands SET status = 'aborted', reason = $2, updated_at = $3 WHERE id = $1 AND status = 'running'",
        id as _,
        reason,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Cancels up to `limit` open commands of a cancelled bulk command.
pub async fn take_back(
    conn: &mut PgConnection,
    id: BulkCommandId,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE commands SET status = 'cancelled', reason = 'the bulk command was cancelled', ended_at = $2 WHERE id IN (
             SELECT id FROM commands WHERE bulk_command_id = $1 AND status IN ('queued', 'sent')
             LIMIT $3 FOR UPDATE SKIP LOCKED)",
        id as _,
        now,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// One box of a bulk command, and what became of its order.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = BulkCommandDevice)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Target {
    pub device_id: DeviceId,
    pub serial_number: String,
    pub position: i32,
    /// `pending`, `skipped`, or that of its order.
    pub status: String,
    pub reason: Option<String>,
    pub command_id: Option<CommandId>,
    pub sent_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// The boxes of a bulk command after this one, in falling order of their ids.
pub async fn targets(
    conn: &mut PgConnection,
    id: BulkCommandId,
    status: Option<&str>,
    page: Page,
) -> sqlx::Result<Vec<Target>> {
    sqlx::query_as!(
        Target,
        r#"SELECT device_id, serial_number, position, status AS "status!", reason, command_id, sent_at, ended_at
           FROM (SELECT t.device_id, d.serial_number, t.position, t.command_id, coalesce(t.skipped, c.reason) AS reason,
                        CASE WHEN t.skipped IS NOT NULL THEN 'skipped' WHEN c.id IS NOT NULL THEN c.status
                             WHEN b.status = 'cancelled' THEN 'cancelled' ELSE 'pending' END AS status,
                        c.sent_at AS "sent_at", c.ended_at AS "ended_at"
                 FROM bulk_command_targets t
                 JOIN bulk_commands b ON b.id = t.bulk_command_id
                 JOIN devices d ON d.id = t.device_id
                 LEFT JOIN commands c ON c.id = t.command_id
                 WHERE t.bulk_command_id = $1 AND ($2::uuid IS NULL OR t.device_id < $2)) AS target
           WHERE $3::text IS NULL OR status = $3
           ORDER BY device_id DESC LIMIT $4"#,
        id as _,
        page.after_id(),
        status,
        page.limit
    )
    .fetch_all(conn)
    .await
}
