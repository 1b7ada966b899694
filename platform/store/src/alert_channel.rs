//! How people are told of alerts: groups of each channel, and what is said of them.

use chrono::{DateTime, Utc};
use domain::alert::AlertKind;
use domain::alert_group::{Cause, OpenAlert, Phase, Text};
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::{AlertId, MerchantId};

use crate::column;

/// A group of alerts that is not over.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct OpenGroup {
    pub id: Uuid,
    pub kind: AlertKind,
    pub cause: Option<Cause>,
    pub cause_value: Option<String>,
    pub joined_at: DateTime<Utc>,
}

/// A group of alerts whose alerts are all closed.
#[derive(Debug, Clone)]
pub struct EndedGroup {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// What was said first.
    pub title: String,
    /// How many alerts it was in the end.
    pub alerts: i64,
}

/// What a channel is to say now.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct DueMessage {
    pub id: Uuid,
    pub channel: String,
    pub phase: Phase,
    pub title: String,
    pub body: String,
    /// With this attempt.
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
}

/// Something that a channel is to say of a group.
#[derive(Debug, Clone)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: Uuid,
    /// Of which group.
    pub group_id: Uuid,
    /// Where.
    pub channel: &'a str,
    /// Of its beginning or its end.
    pub phase: Phase,
    /// What.
    pub text: &'a Text,
    /// When.
    pub due_at: DateTime<Utc>,
}

/// Whether this transaction is the one that may form groups.
pub async fn try_lead(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('alert_groups', 3)) AS "leads!""#
    )
    .fetch_one(conn)
    .await
}

/// Up to `limit` open alerts that a channel has not been told of: of these kinds and merchants (all, when there are none),
/// opened before a time.
pub async fn untold(
    conn: &mut PgConnection,
    channel: &str,
    kinds: &[AlertKind],
    merchants: &[MerchantId],
    opened_before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<OpenAlert>> {
    let kinds = column(kinds, |kind| kind.as_str().to_owned());
    sqlx::query_as!(
        OpenAlert,
        r#"SELECT a.id, a.kind, coalesce(d.serial_number, t.terminal_label, a.subject) AS "name!", m.brand_name AS "merchant?",
             o.name AS "outlet?", o.city, p.firmware_version AS "firmware?", d.model AS "model?", a.since
           FROM alerts a
           LEFT JOIN devices d ON d.id = a.device_id
           LEFT JOIN device_presence p ON p.device_id = a.device_id
           LEFT JOIN bindings b ON b.device_id = a.device_id AND b.unbound_at IS NULL
           LEFT JOIN terminals t ON t.id = coalesce(b.terminal_id, a.subject_id)
           LEFT JOIN outlets o ON o.id = t.outlet_id
           LEFT JOIN merchants m ON m.id = coalesce(b.merchant_id, a.merchant_id)
           WHERE a.closed_at IS NULL AND a.opened_at <= $4
             AND (cardinality($2::text[]) = 0 OR a.kind = ANY($2))
             AND (cardinality($3::uuid[]) = 0 OR m.id = ANY($3))
             AND NOT EXISTS (SELECT FROM alert_group_members told WHERE told.alert_id = a.id AND told.channel = $1)
           ORDER BY a.opened_at, a.id LIMIT $5"#,
        channel,
        &kinds,
        merchants as _,
        opened_before,
        limit
    )
    .fetch_all(conn)
    .await
}

/// The groups of a channel that are not over.
pub async fn open(conn: &mut PgConnection, channel: &str) -> sqlx::Result<Vec<OpenGroup>> {
    sqlx::query_as!(
        OpenGroup,
        "SELECT id, kind, cause, cause_value, joined_at FROM alert_groups WHERE channel = $1 AND ended_at IS NULL
         ORDER BY joined_at DESC",
        channel
    )
    .fetch_all(conn)
    .await
}

/// Begins a group.
pub async fn begin(
    conn: &mut PgConnection,
    id: Uuid,
    channel: &str,
    kind: AlertKind,
    cause: Option<(Cause, &str)>,
    began_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO alert_groups (id, channel, kind, cause, cause_value, began_at, joined_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id,
        channel,
        kind as _,
        cause.map(|(cause, _)| cause) as _,
        cause.map(|(_, value)| value),
        began_at,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes alerts a part of a group.
pub async fn join(
    conn: &mut PgConnection,
    id: Uuid,
    channel: &str,
    alerts: &[AlertId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH joined AS (
             INSERT INTO alert_group_members (channel, alert_id, group_id) SELECT $2, a.id, $1 FROM unnest($3::uuid[]) AS a (id))
         UPDATE alert_groups SET joined_at = $4 WHERE id = $1",
        id,
        channel,
        alerts as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the groups of a channel whose alerts are all closed, or forgotten.
pub async fn end(
    conn: &mut PgConnection,
    channel: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EndedGroup>> {
    sqlx::query_as!(
        EndedGroup,
        r#"UPDATE alert_groups o SET ended_at = $2
           WHERE o.channel = $1 AND o.ended_at IS NULL AND NOT EXISTS (
               SELECT FROM alert_group_members part JOIN alerts a ON a.id = part.alert_id
               WHERE part.group_id = o.id AND a.closed_at IS NULL)
           RETURNING o.id, o.began_at,
               (SELECT m.title FROM alert_messages m WHERE m.group_id = o.id AND m.phase = 'began') AS "title!",
               (SELECT count(*) FROM alert_group_members part WHERE part.group_id = o.id) AS "alerts!""#,
        channel,
        now
    )
    .fetch_all(conn)
    .await
}

/// Stores what a channel is to say.
pub async fn say(
    conn: &mut PgConnection,
    message: NewMessage<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO alert_messages (id, group_id, channel, phase, title, body, due_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        message.id,
        message.group_id,
        message.channel,
        message.phase as _,
        message.text.title,
        message.text.body,
        message.due_at,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops what was to be said of the beginning of a group and was not said yet, because of quiet hours; `true` when there was
/// such a message. Then its end needs no message either.
pub async fn drop_unsaid(conn: &mut PgConnection, group_id: Uuid) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE alert_messages SET due_at = NULL WHERE group_id = $1 AND phase = 'began' AND due_at IS NOT NULL AND attempts = 0",
        group_id
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Takes up to `limit` messages of these channels that are due, the end of a group after its beginning. They are due again at
/// `lease_until`, in case nothing is heard of this attempt, or as soon as the node of this incarnation is found dead.
pub async fn take_due(
    conn: &mut PgConnection,
    channels: &[String],
    limit: i64,
    incarnation: i64,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> sqlx::Result<Vec<DueMessage>> {
    sqlx::query_as!(
        DueMessage,
        "UPDATE alert_messages SET due_at = $3, taken_by = $5, attempts = attempts + 1
         WHERE id = ANY(ARRAY(
             SELECT m.id FROM alert_messages m WHERE m.due_at <= $2 AND m.channel = ANY($1)
               AND NOT EXISTS (SELECT FROM alert_messages first WHERE first.group_id = m.group_id AND m.phase = 'ended'
                               AND first.phase = 'began' AND first.due_at IS NOT NULL)
             ORDER BY m.due_at LIMIT $4)) AND due_at <= $2
         RETURNING id, channel, phase, title, body, attempts, created_at",
        channels,
        now,
        lease_until,
        limit,
        incarnation
    )
    .fetch_all(conn)
    .await
}

/// Notes that a message was said.
pub async fn note_sent(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE alert_messages SET due_at = NULL, taken_by = NULL, sent_at = $2, error = NULL WHERE id = $1",
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a message could not be said, and when it is tried again; never, without a time.
pub async fn note_failed(
    conn: &mut PgConnection,
    id: Uuid,
    error: &str,
    due_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE alert_messages SET due_at = $3, taken_by = NULL, error = $2 WHERE id = $1",
        id,
        error,
        due_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` groups that were over before a time.
pub async fn forget(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM alert_groups WHERE id = ANY(ARRAY(SELECT id FROM alert_groups WHERE ended_at < $1 LIMIT $2))",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
