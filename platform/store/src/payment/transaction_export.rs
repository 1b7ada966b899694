//! Transactions as lines of a file: with the names that people know, for people.

use chrono::{DateTime, Utc};
use domain::transaction::{QrType, TransactionStatus};
use sqlx::PgConnection;
use wire::Rupiah;
use wire::ids::{SettlementId, TransactionId};

use super::transaction::Filter;
use crate::{Page, Scope};

/// One line.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Line {
    pub id: TransactionId,
    pub created_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub status: TransactionStatus,
    /// The merchant's brand name.
    pub merchant: String,
    /// The outlet's name.
    pub outlet: String,
    /// The terminal's name.
    pub terminal: String,
    pub qr_type: QrType,
    pub amount: Rupiah,
    /// The part of the amount that is a tip.
    pub tip: Option<Rupiah>,
    pub fee: Option<Rupiah>,
    pub net: Option<Rupiah>,
    pub partner_id: String,
    pub partner_reference: Option<String>,
    pub rrn: Option<String>,
    pub issuer: Option<String>,
    pub settlement_id: Option<SettlementId>,
}

/// How many transactions a file would have, counted up to `limit`.
pub async fn count(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT 1 FROM transactions
               WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR status = $2)
                 AND ($3::uuid IS NULL OR terminal_id = $3) AND ($4::uuid IS NULL OR outlet_id = $4)
                 AND ($5::text IS NULL OR partner_reference = $5)
                 AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
               LIMIT $8) counted"#,
        scope.merchant(),
        filter.status as _,
        filter.terminal_id as _,
        filter.outlet_id as _,
        filter.partner_reference,
        filter.period.from,
        filter.period.to,
        limit
    )
    .fetch_one(conn)
    .await
}

/// Lines, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        "SELECT t.id, t.created_at, t.paid_at, t.status, m.brand_name AS merchant, o.name AS outlet, e.name AS terminal,
                t.qr_type, t.amount, t.tip, t.fee, t.net, t.partner_id, t.partner_reference, t.rrn, t.issuer, t.settlement_id
           FROM (SELECT * FROM transactions
                 WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR status = $2)
                   AND ($3::uuid IS NULL OR terminal_id = $3) AND ($4::uuid IS NULL OR outlet_id = $4)
                   AND ($5::text IS NULL OR partner_reference = $5)
                   AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
                   AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9::uuid))
                 ORDER BY created_at DESC, id DESC LIMIT $10) t
           JOIN merchants m ON m.id = t.merchant_id
           JOIN outlets o ON o.id = t.outlet_id
           JOIN terminals e ON e.id = t.terminal_id
           ORDER BY t.created_at DESC, t.id DESC",
        scope.merchant(),
        filter.status as _,
        filter.terminal_id as _,
        filter.outlet_id as _,
        filter.partner_reference,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}
