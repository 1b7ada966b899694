//! Partners' callbacks as they came, and money that could not be attributed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::Rupiah;
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

/// Money without a transaction of its own.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Unmatched<'a> {
    pub id: Uuid,
    pub callback_id: CallbackId,
    pub partner_id: &'a str,
    pub partner_reference: &'a str,
    pub transaction_id: Option<TransactionId>,
    pub nmid: Option<&'a str>,
    pub terminal_label: Option<&'a str>,
    pub amount: Rupiah,
    pub paid_at: DateTime<Utc>,
    pub reason: &'a str,
    pub created_at: DateTime<Utc>,
}

/// Keeps money that could not be attributed; once for each reference.
///
/// # Errors
/// The database's.
pub async fn insert_unmatched(
    conn: &mut PgConnection,
    unmatched: &Unmatched<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO unmatched_payments (id, callback_id, partner_id, partner_reference, transaction_id, nmid, terminal_label, amount, paid_at, reason, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT ON CONSTRAINT unmatched_payments_reference_unique DO NOTHING",
        unmatched.id,
        unmatched.callback_id.as_uuid(),
        unmatched.partner_id,
        unmatched.partner_reference,
        unmatched.transaction_id.map(TransactionId::as_uuid),
        unmatched.nmid,
        unmatched.terminal_label,
        unmatched.amount.to_i64(),
        unmatched.paid_at,
        unmatched.reason,
        unmatched.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}
