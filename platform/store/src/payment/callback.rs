//! Partners' messages as they came: callbacks, answers to what we asked, and what only claimed to be a partner's.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{CallbackId, TransactionId};

use crate::Page;

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

/// Keeps a callback. Its bytes go into the partition of its day.
pub async fn insert(conn: &mut PgConnection, callback: &Callback<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH kept AS (
             INSERT INTO callbacks (id, route, partner_id, received_at, body_bytes, verdict, reason, http_status, partner_reference, transaction_id)
             VALUES ($1, $2, $3, $4, length($6::bytea), $7, $8, $9, $10, $11))
         INSERT INTO callback_bodies (callback_id, received_at, headers, body) VALUES ($1, $4, $5, $6)",
        callback.id as _,
        callback.route,
        callback.partner_id,
        callback.received_at,
        callback.headers,
        callback.body,
        callback.verdict,
        callback.reason,
        i16::try_from(callback.http_status).unwrap_or(0),
        callback.partner_reference,
        callback.transaction_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A callback whose sender is not authenticated.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Rejected<'a> {
    pub id: CallbackId,
    pub route: &'a str,
    pub claimed_partner_id: Option<&'a str>,
    pub address: Option<&'a str>,
    pub received_at: DateTime<Utc>,
    /// Without credentials.
    pub headers: &'a Value,
    /// Its beginning.
    pub body: &'a [u8],
    /// The length of the whole.
    pub body_bytes: usize,
    pub reason: &'a str,
    pub http_status: u16,
}

/// Stores a rejected callback.
pub async fn insert_rejected(conn: &mut PgConnection, rejected: &Rejected<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO rejected_callbacks (id, route, claimed_partner_id, address, received_at, headers, body, body_bytes, reason, http_status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        rejected.id as _,
        rejected.route,
        rejected.claimed_partner_id,
        rejected.address,
        rejected.received_at,
        rejected.headers,
        rejected.body,
        i32::try_from(rejected.body_bytes).unwrap_or(i32::MAX),
        rejected.reason,
        i16::try_from(rejected.http_status).unwrap_or(0)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message that was received, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ReceivedCallback)]
pub struct Received {
    /// Its id.
    pub id: CallbackId,
    /// The path that it came on, shortened.
    pub route: String,
    /// Who sent it; null when that was not proven.
    pub partner_id: Option<String>,
    /// Who the sender said it is.
    pub claimed_partner_id: Option<String>,
    /// The network that it came from, when it was not proven to be a partner's and there is no proxy.
    pub address: Option<String>,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// accepted, duplicate, unmatched, held, ignored, incident, rejected or failed.
    pub verdict: String,
    /// Why, where that needs a reason.
    pub reason: Option<String>,
    /// How it was answered.
    pub http_status: i16,
    /// The partner's name for the money.
    pub partner_reference: Option<String>,
    /// The transaction that it is about.
    pub transaction_id: Option<TransactionId>,
    /// The length of its body.
    pub body_bytes: i32,
}

/// A message with what is kept of its bytes.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Kept {
    pub callback: Received,
    pub headers: Option<Value>,
    pub body: Option<Vec<u8>>,
}

/// Which messages a list shows. A partner's include rejected ones that claimed to be from it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub verdict: Option<String>,
    pub partner_id: Option<String>,
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
}

/// Messages, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Received>> {
    sqlx::query_as!(
        Received,
        r#"SELECT id AS "id!", route AS "route!", partner_id, claimed_partner_id, address, received_at AS "received_at!",
                  verdict AS "verdict!", reason, http_status AS "http_status!", partner_reference,
                  transaction_id AS "transaction_id: TransactionId",
                  body_bytes AS "body_bytes!"
           FROM (
               (SELECT id, route, partner_id, partner_id AS claimed_partner_id, NULL::text AS address, received_at, verdict,
                       reason, http_status, partner_reference, transaction_id, body_bytes
                FROM callbacks
                WHERE ($1::text IS NULL OR verdict = $1) AND ($2::text IS NULL OR partner_id = $2)
                  AND ($3::timestamptz IS NULL OR received_at >= $3) AND ($4::timestamptz IS NULL OR received_at < $4)
                  AND ($5::timestamptz IS NULL OR (received_at, id) < ($5, $6::uuid))
                ORDER BY received_at DESC, id DESC LIMIT $7)
               UNION ALL
               (SELECT id, route, NULL, claimed_partner_id, address, received_at, 'rejected', reason, http_status, NULL, NULL,
                       body_bytes
                FROM rejected_callbacks
                WHERE ($1::text IS NULL OR $1 = 'rejected') AND ($2::text IS NULL OR claimed_partner_id = $2)
                  AND ($3::timestamptz IS NULL OR received_at >= $3) AND ($4::timestamptz IS NULL OR received_at < $4)
                  AND ($5::timestamptz IS NULL OR (received_at, id) < ($5, $6::uuid))
                ORDER BY received_at DESC, id DESC LIMIT $7)) AS received
           ORDER BY received_at DESC, id DESC LIMIT $7"#,
        filter.verdict,
        filter.partner_id,
        filter.from,
        filter.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// A verified message, without its bytes once their day was dropped.
pub async fn find(conn: &mut PgConnection, id: CallbackId) -> sqlx::Result<Option<Kept>> {
    let row = sqlx::query!(
        r#"SELECT c.id, c.route, c.partner_id, c.received_at, c.verdict, c.reason, c.http_status, c.partner_reference,
                  c.transaction_id, c.body_bytes, b.headers AS "headers?", b.body AS "body?"
           FROM callbacks c
           LEFT JOIN callback_bodies b ON b.received_at = c.received_at AND b.callback_id = c.id
           WHERE c.id = $1"#,
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Kept {
        headers: row.headers,
        body: row.body,
        callback: Received {
            id: row.id,
            route: row.route,
            claimed_partner_id: row.partner_id.clone(),
            partner_id: row.partner_id,
            address: None,
            received_at: row.received_at,
            verdict: row.verdict,
            reason: row.reason,
            http_status: row.http_status,
            partner_reference: row.partner_reference,
            transaction_id: row.transaction_id,
            body_bytes: row.body_bytes,
        },
    }))
}

/// A message whose sender is not authenticated.
pub async fn find_rejected(conn: &mut PgConnection, id: CallbackId) -> sqlx::Result<Option<Kept>> {
    let row = sqlx::query!(
        "SELECT id, route, claimed_partner_id, address, received_at, headers, body, body_bytes, reason, http_status
         FROM rejected_callbacks WHERE id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Kept {
        headers: Some(row.headers),
        body: Some(row.body),
        callback: Received {
            id: row.id,
            route: row.route,
            partner_id: None,
            claimed_partner_id: row.claimed_partner_id,
            address: row.address,
            received_at: row.received_at,
            verdict: "rejected".to_owned(),
            reason: Some(row.reason),
            http_status: row.http_status,
            partner_reference: None,
            transaction_id: None,
            body_bytes: row.body_bytes,
        },
    }))
}

/// Whether the same bytes about this reference were answered before, besides the message `id`.
pub async fn was_answered(
    conn: &mut PgConnection,
    partner_id: &str,
    reference: &str,
    body: &[u8],
    id: CallbackId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM callbacks c
                   JOIN callback_bodies b ON b.received_at = c.received_at AND b.callback_id = c.id
                   WHERE c.partner_id = $1 AND c.partner_reference = $2 AND b.body = $3 AND c.id <> $4
                     AND c.verdict <> 'failed') AS "answered!""#,
        partner_id,
        reference,
        body,
        id as _
    )
    .fetch_one(conn)
    .await
}
