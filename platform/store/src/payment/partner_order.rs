//! What we asked a partner for and may ask about: the code of one transaction.

use chrono::{DateTime, Utc};
use domain::dialect::request::PayeeNames;
use sqlx::PgConnection;
use wire::ids::TransactionId;

use crate::exactly_one;

/// Records that the code of a new transaction is being requested from a partner under this name, until `leased_until`.
///
/// # Errors
/// `partner_orders_order_name_unique`.
pub async fn insert(
    conn: &mut PgConnection,
    id: TransactionId,
    partner_id: &str,
    order_name: &str,
    leased_until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO partner_orders (transaction_id, partner_id, order_name, leased_until) VALUES ($1, $2, $3, $4)",
        id as _,
        partner_id,
        order_name,
        leased_until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes over the request: the name of the order. None while another holds the lease.
pub async fn lease(
    conn: &mut PgConnection,
    id: TransactionId,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "UPDATE partner_orders SET leased_until = $3
         WHERE transaction_id = $1 AND (leased_until IS NULL OR leased_until <= $2)
         RETURNING order_name",
        id as _,
        now,
        leased_until
    )
    .fetch_optional(conn)
    .await
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
    external_id: Option<&str>,
    query_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE partner_orders SET leased_until = NULL, reference_no = $2, external_id = $3, query_at = $4
         WHERE transaction_id = $1",
        id as _,
        reference_no,
        external_id,
        query_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// The names of an order.
#[derive(Debug, Clone)]
pub struct OrderNames {
    /// Ours.
    pub order_name: String,
    /// The partner's, if it gave one.
    pub reference_no: Option<String>,
    /// That of the request for its code.
    pub external_id: Option<String>,
}

/// The names of a transaction's order. None when the partner was never asked for its code.
pub async fn names(conn: &mut PgConnection, id: TransactionId) -> sqlx::Result<Option<OrderNames>> {
    sqlx::query_as!(
        OrderNames,
        "SELECT order_name, reference_no, external_id FROM partner_orders WHERE transaction_id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The transaction whose order has this name at the partner.
pub async fn named(
    conn: &mut PgConnection,
    partner_id: &str,
    order_name: &str,
) -> sqlx::Result<Option<TransactionId>> {
    sqlx::query_scalar!(
        "SELECT transaction_id FROM partner_orders WHERE partner_id = $1 AND order_name = $2",
        partner_id,
        order_name
    )
    .fetch_optional(conn)
    .await
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
    pub order_name: String,
    pub reference_no: Option<String>,
    pub external_id: Option<String>,
    pub queries: i32,
    pub nmid: Option<String>,
    pub partner_merchant_id: Option<String>,
    pub partner_store_id: Option<String>,
    pub partner_terminal_id: Option<String>,
    pub terminal_label: String,
}

impl Due {
    /// What the partner calls the merchant, outlet and terminal.
    pub fn payee(&self) -> PayeeNames {
        PayeeNames {
            nmid: self.nmid.clone(),
            partner_merchant_id: self.partner_merchant_id.clone(),
            partner_store_id: self.partner_store_id.clone(),
            partner_terminal_id: self.partner_terminal_id.clone(),
            terminal_label: Some(self.terminal_label.clone()),
        }
    }
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
              JOIN outlets s ON s.id = t.outlet_id JOIN terminals p ON p.id = t.terminal_id
         WHERE o.transaction_id = due.transaction_id
         RETURNING o.transaction_id, o.partner_id, o.order_name, o.reference_no, o.external_id, o.queries, m.nmid,
             m.partner_merchant_id, s.partner_store_id, p.partner_terminal_id, p.terminal_label"#,
        now,
        pause_s,
        queries_max,
        limit
    )
    .fetch_all(conn)
    .await
}
