//! Commands to boxes, and how they ended.

use chrono::{DateTime, Utc};
use domain::command::{CommandStatus, CommandType};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{CommandId, DeviceId};
use wire::{Encoding, Language};

use crate::outbox::{BATCH_MAX, Header, OutboxRow, Selection};
use crate::{Page, column};

/// An order, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Command {
    pub id: CommandId,
    pub device_id: DeviceId,
    #[serde(rename = "type")]
    pub kind: CommandType,
    #[schema(value_type = Object)]
    pub payload: Value,
    pub status: CommandStatus,
    pub reason: Option<String>,
    pub result_payload: Option<Value>,
    pub attempts: i32,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub acked_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub late_ack: Option<Value>,
}

/// Stores a new command.
pub async fn insert(conn: &mut PgConnection, command: &Command) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO commands (id, device_id, type, payload, status, created_by, created_at, expires_at, next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7)",
        command.id as _,
        command.device_id as _,
        command.kind as _,
        command.payload,
        command.status as _,
        command.created_by,
        command.created_at,
        command.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many commands of a box are open.
pub async fn count_open(conn: &mut PgConnection, device_id: DeviceId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM commands WHERE device_id = $1 AND status IN ('queued', 'sent')"#,
        device_id as _
    )
    .fetch_one(conn)
    .await
}

/// One command of a box.
pub async fn find(
    conn: &mut PgConnection,
    device_id: DeviceId,
    id: CommandId,
) -> sqlx::Result<Option<Command>> {
    sqlx::query_as!(
        Command,
        "SELECT id, device_id, type AS kind, payload, status, reason, result_payload, attempts, created_by, created_at,
                expires_at, sent_at, acked_at, ended_at, late_ack
         FROM commands WHERE id = $1 AND device_id = $2",
        id as _,
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// One command of a box, its row locked until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    device_id: DeviceId,
    id: CommandId,
) -> sqlx::Result<Option<Command>> {
    sqlx::query_as!(
        Command,
        "SELECT id, device_id, type AS kind, payload, status, reason, result_payload, attempts, created_by, created_at,
                expires_at, sent_at, acked_at, ended_at, late_ack
         FROM commands WHERE id = $1 AND device_id = $2 FOR UPDATE",
        id as _,
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Which commands a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub status: Option<CommandStatus>,
    pub kind: Option<CommandType>,
}

/// A box's commands, newest first.
pub async fn list_of_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Command>> {
    sqlx::query_as!(
        Command,
        "SELECT id, device_id, type AS kind, payload, status, reason, result_payload, attempts, created_by, created_at,
                expires_at, sent_at, acked_at, ended_at, late_ack
         FROM commands
         WHERE device_id = $1 AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR type = $3)
           AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $6",
        device_id as _,
        filter.status as _,
        filter.kind as _,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// A command that is to be sent now.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct DueCommand {
    pub id: CommandId,
    pub device_id: DeviceId,
    pub kind: CommandType,
    pub payload: Value,
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub payload_encoding: Encoding,
    /// Of the box's configuration, as it is now.
    pub language: Language,
}

impl OutboxRow for DueCommand {
    type Id = CommandId;

    fn header(&self) -> Header<CommandId> {
        Header {
            device_id: self.device_id,
            id: self.id,
            attempts: self.attempts,
            encoding: self.payload_encoding,
            expires_at: Some(self.expires_at),
        }
    }

    /// Oldest first for each box.
    async fn due(
        conn: &mut PgConnection,
        devices: &[DeviceId],
        selection: Selection,
    ) -> sqlx::Result<Vec<Self>> {
        sqlx::query_as!(
            DueCommand,
            r#"SELECT c.id, c.device_id, c.type AS kind, c.payload, c.attempts, c.created_at, c.expires_at, d.payload_encoding,
                    coalesce(g.language, 'id') AS "language!: Language"
               FROM commands c JOIN devices d ON d.id = c.device_id LEFT JOIN device_configs g ON g.device_id = c.device_id
               WHERE c.device_id = ANY($1) AND c.status IN ('queued', 'sent') AND c.next_attempt_at <= $2 AND c.expires_at > $3
                 AND d.status = 'active'
               ORDER BY c.device_id, c.created_at, c.id LIMIT $4"#,
            devices as _,
            selection.due_by(),
            selection.now,
            BATCH_MAX
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
            "SELECT DISTINCT c.device_id FROM commands c JOIN sessions s ON s.device_id = c.device_id AND s.connected AND s.incarnation = $3
             WHERE c.status IN ('queued', 'sent') AND c.next_attempt_at <= $1 AND c.expires_at > $1 LIMIT $2",
            now,
            limit,
            incarnation
        )
        .fetch_all(conn)
        .await
    }

    async fn mark_sent(
        conn: &mut PgConnection,
        sent: &[(CommandId, DateTime<Utc>)],
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let (commands, next_attempts): (Vec<CommandId>, Vec<DateTime<Utc>>) =
            sent.iter().copied().unzip();
        sqlx::query!(
            "WITH sent AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS s (id, next_attempt_at)),
             locked AS (SELECT c.id FROM commands c JOIN sent USING (id)
                        WHERE c.status IN ('queued', 'sent') ORDER BY c.id FOR UPDATE OF c)
             UPDATE commands c SET status = 'sent', attempts = attempts + 1, next_attempt_at = s.next_attempt_at,
                 sent_at = coalesce(c.sent_at, $3)
             FROM sent s JOIN locked l USING (id) WHERE c.id = s.id",
            &commands as _,
            &next_attempts,
            now
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn postpone(
        conn: &mut PgConnection,
        unsent: &[Header<CommandId>],
        until: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let commands = column(unsent, |one| one.id);
        sqlx::query!(
            "WITH locked AS (SELECT id FROM commands WHERE id = ANY($1) AND status IN ('queued', 'sent') ORDER BY id FOR UPDATE)
             UPDATE commands c SET next_attempt_at = $2 FROM locked l WHERE c.id = l.id",
            &commands as _,
            until
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn fail(
        conn: &mut PgConnection,
        unsent: &Header<CommandId>,
        reason: &str,
        now: DateTime<Utc>,
    ) -> sqlx::Result<bool> {
        let failed = End {
            status: CommandStatus::Failed,
            reason: Some(reason),
            result_payload: None,
            acked_at: None,
            ended_at: now,
        };
        match end(conn, unsent.id, &failed).await {
            Ok(()) => Ok(true),
            Err(sqlx::Error::RowNotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// How a command ends.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct End<'a> {
    pub status: CommandStatus,
    pub reason: Option<&'a str>,
    pub result_payload: Option<&'a Value>,
    pub acked_at: Option<DateTime<Utc>>,
    pub ended_at: DateTime<Utc>,
}

/// Ends an open command.
///
/// # Errors
/// `RowNotFound` when it has ended already.
pub async fn end(conn: &mut PgConnection, id: CommandId, end: &End<'_>) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE commands SET status = $2, reason = $3, result_payload = $4, acked_at = $5, ended_at = $6
         WHERE id = $1 AND status IN ('queued', 'sent')",
        id as _,
        end.status as _,
        end.reason,
        end.result_payload,
        end.acked_at,
        end.ended_at
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Cancels the open commands that speak or show something for a binding that is over.
pub async fn cancel_of_binding(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH locked AS (
             SELECT id FROM commands
             WHERE device_id = $1 AND status IN ('queued', 'sent') AND type IN ('announce_text', 'announce_total', 'display_qr')
             ORDER BY id FOR UPDATE)
         UPDATE commands c SET status = 'cancelled', reason = 'unbound', ended_at = $2 FROM locked l WHERE c.id = l.id",
        device_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the first acknowledgement that arrives after the end of a command.
pub async fn keep_late_ack(
    conn: &mut PgConnection,
    id: CommandId,
    late_ack: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE commands SET late_ack = $2, acked_at = coalesce(acked_at, $3) WHERE id = $1 AND late_ack IS NULL",
        id as _,
        late_ack,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` commands whose time was over by `before`, each with its box.
pub async fn overdue(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<(CommandId, DeviceId)>> {
    let rows = sqlx::query!(
        "SELECT id, device_id FROM commands WHERE status IN ('queued', 'sent') AND expires_at < $1
         ORDER BY expires_at LIMIT $2",
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.device_id))
        .collect())
}

/// Ends up to `limit` commands whose time was over by `before`, of these or of all.
pub async fn end_overdue(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    only: Option<&[CommandId]>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE commands SET status = 'timeout', reason = 'expired', ended_at = $2 WHERE id IN (
             SELECT id FROM commands WHERE status IN ('queued', 'sent') AND expires_at < $1
               AND ($4::uuid[] IS NULL OR id = ANY($4))
             ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
        before,
        now,
        limit,
        only as _
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
