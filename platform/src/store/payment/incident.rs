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

/// What was kept of a transaction beside its own history.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Money with this reference is kept as unmatched.
    pub reference_is_unmatched: bool,
    /// A reversal came before any success.
    pub reversal_is_held: bool,
}

/// Looks for money and reversals of a transaction that were put aside.
///
/// # Errors
/// The database's.
pub async fn kept_of(
    conn: &mut PgConnection,
    partner_id: &str,
    id: TransactionId,
    reference: &str,
) -> sqlx::Result<Kept> {
    sqlx::query_as!(
        Kept,
        r#"SELECT EXISTS (SELECT 1 FROM unmatched_payments WHERE partner_id = $1 AND partner_reference = $2) AS "reference_is_unmatched!",
                  EXISTS (SELECT 1 FROM incidents WHERE transaction_id = $3 AND kind = 'reversal_before_success') AS "reversal_is_held!""#,
        partner_id,
        reference,
        id.as_uuid()
    )
    .fetch_one(conn)
    .await
}
