//! Who changed what, written in the transaction of the change, and the chain of hashes over it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use crate::{Page, Period};
use utoipa::ToSchema;

/// One change.
#[derive(Debug)]
pub struct Change<'a> {
    /// Who: `usr_…`, `tok_…`, `sbx_…`, or `system`.
    pub actor: &'a str,
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// To what: its id.
    pub entity: String,
    /// The HTTP request that asked for it.
    pub request_id: Option<&'a str>,
    /// The entity before; absent for a creation.
    pub before: Option<Value>,
    /// The entity after; absent for a deletion.
    pub after: Option<Value>,
}

/// A row of the log, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(as = AuditEntry)]
pub struct Entry {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub entity: String,
    pub request_id: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Its place in the chain; null until it is sealed, a few seconds later.
    pub seal: Option<i64>,
}

/// Which rows a list is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// About this entity.
    pub entity: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// What was done, as `noun.verb`.
    pub action: Option<String>,
    /// In this period.
    pub period: Period,
}

/// A row with every column as text or bytes that have one form only: what its hash is made from.
#[derive(Debug, Clone)]
pub struct Record {
    /// The row's number.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub entity: String,
    /// Which HTTP request.
    pub request_id: Option<String>,
    /// Before, as Postgres writes `jsonb`: keys in its order, no spaces of the writer's.
    pub before: Option<String>,
    /// After, likewise.
    pub after: Option<String>,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its number: 1, 2, 3, …
    pub seq: i64,
    /// The row it seals.
    pub audit_id: i64,
    /// The row's hash.
    pub row_hash: Vec<u8>,
    /// The head before.
    pub previous_head: Vec<u8>,
    /// The head from here on.
    pub head: Vec<u8>,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
}

/// Writes one audit row, and that it waits for its seal.
pub async fn record(
    conn: &mut PgConnection,
    at: DateTime<Utc>,
    change: Change<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH written AS (
             INSERT INTO audit_logs (at, actor, action, entity, request_id, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id)
         INSERT INTO audit_waiting (audit_id) SELECT id FROM written",
        at,
        change.actor,
        change.action,
        change.entity,
        change.request_id,
        change.before,
        change.after,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The log, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Entry>> {
    // Rows are numbered; a cursor carries the number as a UUID.
    let after_id = page
        .after_id()
        .and_then(|id| i64::try_from(id.as_u128()).ok());
    sqlx::query_as!(
        Entry,
        r#"SELECT l.id, l.at, l.actor, l.action, l.entity, l.request_id, l.before, l.after, s.seq AS "seal?"
           FROM audit_logs l LEFT JOIN audit_seals s ON s.audit_id = l.id
           WHERE ($1::text IS NULL OR l.entity = $1) AND ($2::text IS NULL OR l.actor = $2)
             AND ($3::timestamptz IS NULL OR l.at >= $3) AND ($4::timestamptz IS NULL OR l.at < $4)
             AND ($5::timestamptz IS NULL OR (l.at, l.id) < ($5, $6::bigint)) AND ($8::text IS NULL OR l.action = $8)
           ORDER BY l.at DESC, l.id DESC LIMIT $7"#,
        filter.entity,
        filter.actor,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        after_id,
        page.limit,
        filter.action
    )
    .fetch_all(conn)
    .await
}

/// The links that seal these rows, each with its row.
pub async fn links_of(conn: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<(Seal, Record)>> {
    let rows = sqlx::query!(
        r#"SELECT s.seq, s.audit_id, s.row_hash, s.previous_head, s.head, s.sealed_at, l.at, l.actor, l.action, l.entity,
                  l.request_id, l.before::text AS before, l.after::text AS after
           FROM audit_seals s JOIN audit_logs l ON l.id = s.audit_id WHERE s.audit_id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    let links = rows.into_iter().map(|row| {
        let seal = Seal {
            seq: row.seq,
            audit_id: row.audit_id,
            row_hash: row.row_hash,
            previous_head: row.previous_head,
            head: row.head,
            sealed_at: row.sealed_at,
        };
        let record = Record {
            id: row.audit_id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            entity: row.entity,
            request_id: row.request_id,
            before: row.before,
            after: row.after,
        };
        (seal, record)
    });
    Ok(links.collect())
}

/// Who did any of these things to something.
pub async fn actors(
    conn: &mut PgConnection,
    entity: &str,
    actions: &[&str],
) -> sqlx::Result<Vec<String>> {
    let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
    sqlx::query_scalar!(
        "SELECT DISTINCT actor FROM audit_logs WHERE entity = $1 AND action = ANY($2)",
        entity,
        &actions
    )
    .fetch_all(conn)
    .await
}

/// Lets only one sealer at a time work, until its transaction ends.
pub async fn lock_chain(conn: &mut PgConnection) -> sqlx::Result<()> {
    crate::serialise(conn, "audit chain").await
}

/// The last link.
pub async fn head(conn: &mut PgConnection) -> sqlx::Result<Option<Seal>> {
    sqlx::query_as!(
        Seal,
        "SELECT seq, audit_id, row_hash, previous_head, head, sealed_at FROM audit_seals ORDER BY seq DESC LIMIT 1"
    )
    .fetch_optional(conn)
    .await
}

/// How far the chain goes, and how much is still to come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The number of the last link; absent: there is none yet.
    pub seq: Option<i64>,
    /// Its hash over all before.
    pub head: Option<Vec<u8>>,
    /// When it was made.
    pub sealed_at: Option<DateTime<Utc>>,
    /// How many rows wait for their seal.
    pub waiting: i64,
}

/// How far the chain goes: in one statement, so that what is sealed meanwhile is seen on both sides or on neither.
pub async fn progress(conn: &mut PgConnection) -> sqlx::Result<Progress> {
    sqlx::query_as!(
        Progress,
        r#"SELECT last.seq AS "seq?", last.head AS "head?", last.sealed_at AS "sealed_at?", queue.waiting AS "waiting!"
           FROM (SELECT count(*) AS waiting FROM audit_waiting) queue
           LEFT JOIN (SELECT seq, head, sealed_at FROM audit_seals ORDER BY seq DESC LIMIT 1) last ON true"#
    )
    .fetch_one(conn)
    .await
}

/// Takes up to `limit` committed rows from those that wait. One that was deleted goes on waiting, as a trace. The rows are
/// named by arrays: a join, planned while the tables were small, reads all of them for each row.
pub async fn take_waiting(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Record>> {
    sqlx::query_as!(
        Record,
        r#"WITH taken AS (
               DELETE FROM audit_waiting WHERE audit_id = ANY(ARRAY(
                   SELECT w.audit_id FROM audit_waiting w WHERE EXISTS (SELECT 1 FROM audit_logs l WHERE l.id = w.audit_id)
                   ORDER BY w.audit_id LIMIT $1))
               RETURNING audit_id)
           SELECT l.id, l.at, l.actor, l.action, l.entity, l.request_id, l.before::text, l.after::text
           FROM audit_logs l WHERE l.id = ANY(ARRAY(SELECT audit_id FROM taken)) ORDER BY l.id"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Some rows that wait for their seal, in the order of their ids, after one of them.
pub async fn waiting(conn: &mut PgConnection, after: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "SELECT w.audit_id FROM audit_waiting w JOIN audit_logs l ON l.id = w.audit_id
         WHERE w.audit_id > $1 ORDER BY w.audit_id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Takes one committed row from those that wait, if it still does.
pub async fn take_one(conn: &mut PgConnection, audit_id: i64) -> sqlx::Result<Vec<Record>> {
    sqlx::query_as!(
        Record,
        r#"WITH taken AS (DELETE FROM audit_waiting WHERE audit_id = $1 RETURNING audit_id)
           SELECT l.id, l.at, l.actor, l.action, l.entity, l.request_id, l.before::text, l.after::text
           FROM taken t JOIN audit_logs l ON l.id = t.audit_id"#,
        audit_id
    )
    .fetch_all(conn)
    .await
}

/// Appends links to the chain.
pub async fn append(conn: &mut PgConnection, seals: &[Seal]) -> sqlx::Result<()> {
    let seqs: Vec<i64> = seals.iter().map(|seal| seal.seq).collect();
    let rows: Vec<i64> = seals.iter().map(|seal| seal.audit_id).collect();
    let row_hashes: Vec<Vec<u8>> = seals.iter().map(|seal| seal.row_hash.clone()).collect();
    let previous: Vec<Vec<u8>> = seals
        .iter()
        .map(|seal| seal.previous_head.clone())
        .collect();
    let heads: Vec<Vec<u8>> = seals.iter().map(|seal| seal.head.clone()).collect();
    let times: Vec<DateTime<Utc>> = seals.iter().map(|seal| seal.sealed_at).collect();
    sqlx::query!(
        "INSERT INTO audit_seals (seq, audit_id, row_hash, previous_head, head, sealed_at)
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::timestamptz[])",
        &seqs,
        &rows,
        &row_hashes,
        &previous,
        &heads,
        &times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets a transaction that has just begun see one state of everything, and change nothing.
pub async fn hold_view(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(conn)
        .await?;
    Ok(())
}

/// Up to `limit` links after `seq`, each with its row if that is still there.
pub async fn chain_after(
    conn: &mut PgConnection,
    seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<(Seal, Option<Record>)>> {
    let rows = sqlx::query!(
        r#"SELECT s.seq, s.audit_id, s.row_hash, s.previous_head, s.head, s.sealed_at,
                  l.id AS "id?", l.at AS "at?", l.actor AS "actor?", l.action AS "action?", l.entity AS "entity?",
                  l.request_id, l.before::text AS before, l.after::text AS after
           FROM audit_seals s LEFT JOIN audit_logs l ON l.id = s.audit_id
           WHERE s.seq > $1 ORDER BY s.seq LIMIT $2"#,
        seq,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let seal = Seal {
                seq: row.seq,
                audit_id: row.audit_id,
                row_hash: row.row_hash,
                previous_head: row.previous_head,
                head: row.head,
                sealed_at: row.sealed_at,
            };
            let record = match (row.id, row.at, row.actor, row.action, row.entity) {
                (Some(id), Some(at), Some(actor), Some(action), Some(entity)) => Some(Record {
                    id,
                    at,
                    actor,
                    action,
                    entity,
                    request_id: row.request_id,
                    before: row.before,
                    after: row.after,
                }),
                _ => None,
            };
            (seal, record)
        })
        .collect())
}

/// Up to `limit` rows that are neither sealed nor waiting; the platform never leaves such rows.
pub async fn unsealed(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "SELECT l.id FROM audit_logs l
         WHERE NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.audit_id = l.id)
           AND NOT EXISTS (SELECT 1 FROM audit_waiting w WHERE w.audit_id = l.id)
         ORDER BY l.id LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await
}

/// Up to `limit` rows that wait for their seal and are not there.
pub async fn lost(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "SELECT w.audit_id FROM audit_waiting w
         WHERE NOT EXISTS (SELECT 1 FROM audit_logs l WHERE l.id = w.audit_id) ORDER BY w.audit_id LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await
}
