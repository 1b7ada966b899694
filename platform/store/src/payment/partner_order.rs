//! What we asked a partner for and may ask about: the code of one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::TransactionId;

use crate::exactly_one;

/// Records that the code of a new transaction is being requested from a partner, until `leased_until`.
pub async fn insert(
    conn: &mut PgConnection,
    id: TransactionId,
    partner_id: &str,
    leased_until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO partner_orders (transaction_id, partner_id, leased_until) VALUES ($1, $2, $3)",
        id as _,
        partner_id,
        leased_until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes over the request; `false` while another holds the lease.
pub async fn lease(
    conn: &mut PgConnection,
    id: TransactionId,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE partner_orders SET leased_until = $3
         WHERE transaction_id = $1 AND (leased_until IS NULL OR leased_until <= $2)",
        id as _,
        now,
        leased_until
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the asking without a code.
pub async fn release(conn: &mut PgConnection, id: TransactionId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE partner_orders SET leased_until = NULL WHERE transaction_id = $1",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the asking with a code, about which the partner is asked at `query_at`.
///
/// # Errors
/// `RowNotFound` without [`insert`].
pub async fn issued(
    conn: &mut PgConnection,
    id: TransactionId,
    reference_no: Option<&str>,
    query_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE partner_orders SET leased_until = NULL, reference_no = $2, query_at = $3 WHERE transaction_id = $1",
        id as _,
        reference_no,
        query_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// The partner's name for an order, if it gave one.
pub async fn reference_no(
    conn: &mut PgConnection,
    id: TransactionId,
) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar!(
        "SELECT reference_no FROM partner_orders WHERE transaction_id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Has the partner asked soon what became of a transaction. `false` for one whose code was built here.
pub async fn query_soon(
    conn: &mut PgConnection,
    id: TransactionId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE partner_orders SET query_at = $2, queries = 0 WHERE transaction_id = $1",
        id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the queries of an order.
pub async fn settle(conn: &mut PgConnection, id: TransactionId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE partner_orders SET query_at = NULL WHERE transaction_id = $1",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An order whose state is to be queried.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Due {
    pub transaction_id: TransactionId,
    pub partner_id: String,
    pub reference_no: Option<String>,
    pub queries: i32,
    pub nmid: String,
}

/// Claims up to `limit` orders that are due. Each is due again after a pause that doubles, `queries_max` times in all,
/// so that a claim by a process that dies is not lost.
pub async fn claim_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    pause_s: i32,
    queries_max: i32,
    limit: i64,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"WITH due AS (
             SELECT transaction_id FROM partner_orders WHERE query_at <= $1
             ORDER BY query_at LIMIT $4 FOR UPDATE SKIP LOCKED)
         UPDATE partner_orders o SET queries = o.queries + 1,
             query_at = CASE WHEN o.queries + 1 >= $3 THEN NULL
                             ELSE $1 + make_interval(secs => $2::int * (1 << least(o.queries, 10))) END
         FROM due JOIN transactions t ON t.id = due.transaction_id JOIN merchants m ON m.id = t.merchant_id
         WHERE o.transaction_id = due.transaction_id
         RETURNING o.transaction_id, o.partner_id, o.reference_no, o.queries, coalesce(m.nmid, '') AS "nmid!""#,
        now,
        pause_s,
        queries_max,
        limit
    )
    .fetch_all(conn)
    .await
}
