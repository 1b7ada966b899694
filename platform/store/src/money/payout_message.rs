//! Messages of payout partners that were answered.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::PayoutId;

/// A message with how it was answered.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct PayoutMessage {
    pub payout_id: Option<PayoutId>,
    pub content: Value,
    pub verdict: String,
    pub reason: Option<String>,
}

/// Takes the lock of a message's name until the database transaction ends, so that two first messages of the same name
/// are judged one after the other.
pub async fn lock(conn: &mut PgConnection, partner_id: &str, event_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 5))",
        partner_id,
        event_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The message of this name, if it was answered before.
pub async fn find(
    conn: &mut PgConnection,
    partner_id: &str,
    event_id: &str,
) -> sqlx::Result<Option<PayoutMessage>> {
    sqlx::query_as!(
        PayoutMessage,
        "SELECT payout_id, content, verdict, reason FROM payout_messages WHERE partner_id = $1 AND event_id = $2",
        partner_id,
        event_id
    )
    .fetch_optional(conn)
    .await
}

/// Remembers a message that is answered, in the place of one of the same name that was refused. The caller holds the
/// lock of the name.
pub async fn insert(
    conn: &mut PgConnection,
    partner_id: &str,
    event_id: &str,
    message: &PayoutMessage,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO payout_messages (partner_id, event_id, payout_id, content, verdict, reason, answered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT payout_messages_once DO UPDATE SET payout_id = excluded.payout_id,
             content = excluded.content, verdict = excluded.verdict, reason = excluded.reason, answered_at = excluded.answered_at
         WHERE payout_messages.verdict = 'incident'",
        partner_id,
        event_id,
        message.payout_id as _,
        message.content,
        message.verdict,
        message.reason,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
