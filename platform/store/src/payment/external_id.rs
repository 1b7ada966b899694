//! X-EXTERNAL-IDs: each names one message of a partner on one day.

use chrono::NaiveDate;
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::CallbackId;

use crate::column;

/// Whose id, on which day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// Lets only one database transaction at a time take messages under these ids. The locks are taken in one order.
pub async fn lock(conn: &mut PgConnection, ids: &[ExternalId<'_>]) -> sqlx::Result<()> {
    let names = column(ids, |id| {
        format!("{}\n{}\n{}", id.partner_id, id.day, id.external_id)
    });
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(lock) FROM (
             SELECT DISTINCT hashtextextended(name, 3) AS lock FROM unnest($1::text[]) AS n (name) ORDER BY lock) AS locks",
        &names
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The message that had each id before, in their order.
pub async fn find(
    conn: &mut PgConnection,
    ids: &[ExternalId<'_>],
) -> sqlx::Result<Vec<Option<Answered>>> {
    let partners = column(ids, |id| id.partner_id);
    let days = column(ids, |id| id.day);
    let names = column(ids, |id| id.external_id);
    let rows = sqlx::query!(
        r#"SELECT place AS "place!", body_hash, http_status, answer
           FROM unnest($1::text[], $2::date[], $3::text[]) WITH ORDINALITY AS i (partner_id, day, external_id, place)
           JOIN external_ids USING (partner_id, day, external_id)"#,
        &partners as _,
        &days,
        &names as _
    )
    .fetch_all(conn)
    .await?;
    let mut found: Vec<Option<Answered>> = ids.iter().map(|_| None).collect();
    for row in rows {
        let place = usize::try_from(row.place - 1).ok();
        if let Some(one) = place.and_then(|place| found.get_mut(place)) {
            *one = Some(Answered {
                body_hash: row.body_hash,
                http_status: u16::try_from(row.http_status).unwrap_or(500),
                answer: row.answer,
            });
        }
    }
    Ok(found)
}

/// Notes what the first message under each id was answered.
///
/// # Errors
/// `external_ids_pkey` without [`lock`].
pub async fn insert(
    conn: &mut PgConnection,
    answers: &[(ExternalId<'_>, &Answered, CallbackId)],
) -> sqlx::Result<()> {
    let partners = column(answers, |(id, ..)| id.partner_id);
    let days = column(answers, |(id, ..)| id.day);
    let names = column(answers, |(id, ..)| id.external_id);
    let hashes = column(answers, |(_, answered, _)| answered.body_hash.as_slice());
    let statuses = column(answers, |(_, answered, _)| {
        i16::try_from(answered.http_status).unwrap_or(500)
    });
    let texts = column(answers, |(_, answered, _)| &answered.answer);
    let callbacks = column(answers, |(.., callback_id)| *callback_id);
    sqlx::query!(
        "INSERT INTO external_ids (partner_id, day, external_id, body_hash, http_status, answer, callback_id)
         SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::bytea[], $5::smallint[], $6::jsonb[], $7::uuid[])",
        &partners as _,
        &days,
        &names as _,
        &hashes as _,
        &statuses,
        &texts as _,
        &callbacks as _
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
        "DELETE FROM external_ids WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM external_ids WHERE day < $1 LIMIT $2))",
        day,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
