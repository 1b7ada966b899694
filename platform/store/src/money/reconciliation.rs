//! An acquirer's file against our transactions.

use chrono::{DateTime, TimeDelta, Utc};
use domain::reconciliation::Class;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{ReconciliationId, TransactionId};

use crate::{Page, Period, exactly_one};

/// A comparison, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Reconciliation {
    pub id: ReconciliationId,
    pub partner_id: String,
    /// Our transactions that were paid from here …
    pub period_from: DateTime<Utc>,
    /// … to before here were expected in the file.
    pub period_to: DateTime<Utc>,
    #[serde(skip)]
    pub status: String,
    pub file_sha256: Option<String>,
    /// How many lines of each class.
    pub matched: i64,
    pub ours_only: i64,
    pub theirs_only: i64,
    pub amount_differs: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// A line of the result.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Line {
    /// Its number in the file, or after the file's last.
    pub line: i64,
    #[schema(value_type = Class)]
    pub class: Option<Class>,
    pub partner_reference: String,
    pub their_amount: Option<Rupiah>,
    pub our_amount: Option<Rupiah>,
    pub transaction_id: Option<TransactionId>,
    /// What a person should know besides.
    pub note: Option<String>,
}

/// Begins a comparison.
///
/// # Errors
/// `reconciliations_period`.
pub async fn insert(conn: &mut PgConnection, new: &Reconciliation) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO reconciliations (id, partner_id, period_from, period_to, status, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.id as _,
        new.partner_id,
        new.period_from,
        new.period_to,
        new.status,
        new.created_by,
        new.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds lines of the file.
pub async fn add_lines(
    conn: &mut PgConnection,
    id: ReconciliationId,
    lines: &[i64],
    references: &[String],
    amounts: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO reconciliation_lines (reconciliation_id, line, partner_reference, their_amount)
         SELECT $1, file.line, file.reference, file.amount
         FROM unnest($2::bigint[], $3::text[], $4::bigint[]) AS file (line, reference, amount)",
        id as _,
        lines,
        references,
        amounts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Compares: gives every line of the file its class, and adds our transactions that the file does not have.
pub async fn compare(conn: &mut PgConnection, id: ReconciliationId) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH file AS (
             SELECT l.line, row_number() OVER (PARTITION BY l.partner_reference ORDER BY l.line) AS occurrence,
                    p.transaction_id, p.amount, p.reversed_at, p.refunded, EXISTS (SELECT 1 FROM unmatched_payments u
                        WHERE u.partner_id = r.partner_id AND u.partner_reference = l.partner_reference) AS is_unmatched
             FROM reconciliations r JOIN reconciliation_lines l ON l.reconciliation_id = r.id
             LEFT JOIN payments p ON p.partner_id = r.partner_id AND p.partner_reference = l.partner_reference
             WHERE r.id = $1)
         UPDATE reconciliation_lines l SET
             class = CASE WHEN f.transaction_id IS NULL OR f.occurrence > 1 THEN 'theirs_only'
                          WHEN f.amount = l.their_amount THEN 'matched' ELSE 'amount_differs' END,
             transaction_id = f.transaction_id, our_amount = f.amount,
             note = CASE WHEN f.occurrence > 1 THEN 'this reference is in the file more than once'
                         WHEN f.transaction_id IS NULL AND f.is_unmatched THEN 'kept as an unmatched payment'
                         WHEN f.reversed_at IS NOT NULL THEN 'reversed since'
                         WHEN f.refunded > 0 THEN format('%s of it refunded since', f.refunded) END
         FROM file f WHERE l.reconciliation_id = $1 AND l.line = f.line",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO reconciliation_lines (reconciliation_id, line, class, partner_reference, our_amount, transaction_id, note)
         SELECT r.id, (SELECT coalesce(max(line), 0) FROM reconciliation_lines WHERE reconciliation_id = r.id)
                      + row_number() OVER (ORDER BY p.paid_at, p.transaction_id),
                'ours_only', p.partner_reference, p.amount, p.transaction_id, CASE WHEN p.reversed_at IS NOT NULL THEN 'reversed since'
                     WHEN p.refunded > 0 THEN format('%s of it refunded since', p.refunded) END
         FROM reconciliations r JOIN payments p ON p.partner_id = r.partner_id
              AND p.paid_at >= r.period_from AND p.paid_at < r.period_to
         WHERE r.id = $1 AND NOT EXISTS (
             SELECT 1 FROM reconciliation_lines l WHERE l.reconciliation_id = r.id AND l.partner_reference = p.partner_reference)",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a comparison is done, with its counts.
pub async fn finish(
    conn: &mut PgConnection,
    id: ReconciliationId,
    file_sha256: &str,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE reconciliations SET status = 'done', file_sha256 = $2, matched = c.matched, ours_only = c.ours_only,
             theirs_only = c.theirs_only, amount_differs = c.amount_differs
         FROM (SELECT count(*) FILTER (WHERE class = 'matched') AS matched, count(*) FILTER (WHERE class = 'ours_only') AS ours_only,
                      count(*) FILTER (WHERE class = 'theirs_only') AS theirs_only,
                      count(*) FILTER (WHERE class = 'amount_differs') AS amount_differs
               FROM reconciliation_lines WHERE reconciliation_id = $1) c
         WHERE id = $1",
        id as _,
        file_sha256
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// One comparison that is done.
pub async fn find(
    conn: &mut PgConnection,
    id: ReconciliationId,
) -> sqlx::Result<Option<Reconciliation>> {
    sqlx::query_as!(
        Reconciliation,
        "SELECT * FROM reconciliations WHERE id = $1 AND status = 'done'",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Comparisons that are done, newest first.
pub async fn list(
    conn: &mut PgConnection,
    partner_id: Option<&str>,
    made: Period,
    page: Page,
) -> sqlx::Result<Vec<Reconciliation>> {
    sqlx::query_as!(
        Reconciliation,
        "SELECT * FROM reconciliations
         WHERE status = 'done' AND ($1::text IS NULL OR partner_id = $1)
           AND ($2::timestamptz IS NULL OR created_at >= $2) AND ($3::timestamptz IS NULL OR created_at < $3)
           AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $6",
        partner_id,
        made.from,
        made.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Lines after one of them, in their order, optionally of one class.
pub async fn lines(
    conn: &mut PgConnection,
    id: ReconciliationId,
    class: Option<Class>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        "SELECT line, class, partner_reference, their_amount, our_amount, transaction_id, note FROM reconciliation_lines
         WHERE reconciliation_id = $1 AND ($2::text IS NULL OR class = $2) AND line > $3 ORDER BY line LIMIT $4",
        id as _,
        class as _,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Forgets a comparison that came to nothing, with its lines.
pub async fn delete(conn: &mut PgConnection, id: ReconciliationId) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM reconciliations WHERE id = $1 AND status = 'loading'",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets comparisons whose file was cut off.
pub async fn forget_unfinished(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    older_than: TimeDelta,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM reconciliations WHERE status = 'loading' AND created_at < $1",
        now - older_than
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
