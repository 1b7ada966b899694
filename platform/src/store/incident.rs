//! Incidents: signed messages that contradict what we know.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::{CallbackId, IncidentId, TransactionId};

/// One contradiction.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Incident<'a> {
    pub id: IncidentId,
    pub kind: &'a str,
    pub partner_id: &'a str,
    pub transaction_id: Option<TransactionId>,
    pub callback_id: CallbackId,
    pub details: Value,
    pub created_at: DateTime<Utc>,
}

/// Keeps an incident.
///
/// # Errors
/// The database's.
pub async fn insert(conn: &mut PgConnection, incident: &Incident<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO incidents (id, kind, partner_id, transaction_id, callback_id, details, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        incident.id.as_uuid(),
        incident.kind,
        incident.partner_id,
        incident.transaction_id.map(TransactionId::as_uuid),
        incident.callback_id.as_uuid(),
        incident.details,
        incident.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}
