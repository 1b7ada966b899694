//! X-EXTERNAL-IDs: each names one message of a partner on one day.

use chrono::NaiveDate;
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::CallbackId;

/// Whose id, on which day.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct ExternalId<'a> {
    pub partner_id: &'a str,
    pub day: NaiveDate,
    pub external_id: &'a str,
}

/// The message that had the id first, and what it was answered.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Answered {
    pub body_hash: Vec<u8>,
    pub http_status: u16,
    pub answer: Value,
}

/// Lets only one database transaction at a time take a message under this id.
pub async fn lock(conn: &mut PgConnection, id: ExternalId<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2 || chr(10) || $3, 3))",
        id.partner_id,
        id.day.to_string(),
        id.external_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The message that had this id before.
pub async fn find(conn: &mut PgConnection, id: ExternalId<'_>) -> sqlx::Result<Option<Answered>> {
    let row = sqlx::query!(
        "SELECT body_hash, http_status, answer FROM external_ids WHERE partner_id = $1 AND day = $2 AND external_id = $3",
        id.partner_id,
        id.day,
        id.external_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Answered {
        body_hash: row.body_hash,
        http_status: u16::try_from(row.http_status).unwrap_or(500),
        answer: row.answer,
    }))
}

/// Notes what the first message under this id was answered.
///
/// # Errors
/// `external_ids_pkey` without [`lock`].
pub async fn insert(
    conn: &mut PgConnection,
    id: ExternalId<'_>,
    answered: &Answered,
    callback_id: CallbackId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO external_ids (partner_id, day, external_id, body_hash, http_status, answer, callback_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id.partner_id,
        id.day,
        id.external_id,
        answered.body_hash,
        i16::try_from(answered.http_status).unwrap_or(500),
        answered.answer,
        callback_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets up to `limit` ids of days before `day`.
pub async fn delete_before(
    conn: &mut PgConnection,
    day: NaiveDate,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM external_ids WHERE (partner_id, day, external_id) IN
         (SELECT partner_id, day, external_id FROM external_ids WHERE day < $1 LIMIT $2)",
        day,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
