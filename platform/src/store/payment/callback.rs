//! Partners' messages as they came: callbacks, and answers to what we asked.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::{CallbackId, TransactionId};

/// A callback with what became of it.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Callback<'a> {
    pub id: CallbackId,
    pub route: &'a str,
    pub partner_id: Option<&'a str>,
    pub received_at: DateTime<Utc>,
    /// Without credentials.
    pub headers: &'a Value,
    pub body: &'a [u8],
    pub verdict: &'a str,
    pub reason: Option<&'a str>,
    pub http_status: u16,
    pub partner_reference: Option<&'a str>,
    pub transaction_id: Option<TransactionId>,
}

/// Keeps a callback.
///
/// # Errors
/// The database's.
pub async fn insert(conn: &mut PgConnection, callback: &Callback<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO callbacks (id, route, partner_id, received_at, headers, body, verdict, reason, http_status, partner_reference, transaction_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        callback.id.as_uuid(),
        callback.route,
        callback.partner_id,
        callback.received_at,
        callback.headers,
        callback.body,
        callback.verdict,
        callback.reason,
        i16::try_from(callback.http_status).unwrap_or(0),
        callback.partner_reference,
        callback.transaction_id.map(TransactionId::as_uuid)
    )
    .execute(conn)
    .await?;
    Ok(())
}
