//! What happened and endpoints are still to be told of. Triggers write it (`migrations/0105_webhook.sql`), but for payments that
//! no box can announce: what there is not has no row.

use chrono::{DateTime, Utc};
use domain::webhook::WebhookEvent;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::{MerchantId, TransactionId};

use crate::column;

/// Something that happened.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Event {
    pub id: i64,
    pub event: WebhookEvent,
    /// The transaction, settlement, device or alert.
    pub subject_id: Uuid,
    pub merchant_id: Option<MerchantId>,
    pub at: DateTime<Utc>,
    /// What is known of this event and of nothing else: an object.
    pub details: Value,
}

/// Whether this transaction is the one that may take events: otherwise two could make messages of one subject in the wrong
/// order.
pub async fn try_lead(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('webhook_events', 3)) AS "leads!""#
    )
    .fetch_one(conn)
    .await
}

/// Takes up to `limit` events, in their order, and deletes them.
pub async fn take(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Event>> {
    let mut events = sqlx::query_as!(
        Event,
        r#"DELETE FROM webhook_events WHERE id = ANY(ARRAY(SELECT id FROM webhook_events ORDER BY id LIMIT $1))
         RETURNING id, event, subject_id, merchant_id, at, details"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    events.sort_unstable_by_key(|event| event.id);
    Ok(events)
}

/// A payment that no box can announce, and why.
#[derive(Debug, Clone)]
pub struct Unannounced {
    /// The payment.
    pub transaction_id: TransactionId,
    /// Why.
    pub reason: String,
}

/// Notes payments that no box can announce, if an endpoint wants to know.
pub async fn note_unannounced(
    conn: &mut PgConnection,
    payments: &[Unannounced],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids = column(payments, |one| one.transaction_id);
    let reasons = column(payments, |one| one.reason.clone());
    sqlx::query!(
        "INSERT INTO webhook_events (event, subject_id, merchant_id, at, details)
         SELECT 'payment.unheard', t.id, t.merchant_id, $3, jsonb_build_object('reason', u.reason)
         FROM unnest($1::uuid[], $2::text[]) AS u (transaction_id, reason) JOIN transactions t ON t.id = u.transaction_id
         WHERE is_webhook_event_wanted('{payment.unheard}')",
        &ids as _,
        &reasons,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
