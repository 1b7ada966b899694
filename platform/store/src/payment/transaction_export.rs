//! Transactions as lines of a file: with the names that people know, for people.

use chrono::{DateTime, Utc};
use domain::transaction::{QrType, TransactionStatus};
use sqlx::{PgConnection, query_as, query_scalar};
use wire::Rupiah;
use wire::ids::{SettlementId, TransactionId};

use super::transaction::{Filter, query_selected};
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
    /// What of it was taken back.
    pub refunded: Rupiah,
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
    query_selected!(query_scalar!(
        [r#"SELECT count(*) AS "count!" FROM (
                SELECT 1 FROM transactions t LEFT JOIN payments p ON p.transaction_id = t.id "# +] WHERE
        "LIMIT $8) counted",
        scope,
        filter,
        limit
    ))
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
    query_selected!(query_as!(
        [Line,
        r#"SELECT t.id, t.created_at, t.paid_at AS "paid_at?", t.status, m.brand_name AS merchant, o.name AS outlet,
                  e.name AS terminal, t.qr_type, t.paid AS "amount!: Rupiah", t.tip AS "tip?",
                  t.refunded AS "refunded!: Rupiah", t.fee AS "fee?", t.net AS "net?",
                  t.partner_id, t.partner_reference AS "partner_reference?", t.rrn AS "rrn?", t.issuer AS "issuer?",
                  t.settlement_id AS "settlement_id?"
           FROM (SELECT t.*, coalesce(p.amount, t.amount) AS paid, coalesce(p.refunded, 0) AS refunded, p.tip, p.fee, p.net, p.partner_reference, p.rrn, p.issuer,
                        p.paid_at, p.settlement_id
                 FROM transactions t LEFT JOIN payments p ON p.transaction_id = t.id "# +] WHERE
        "AND ($8::timestamptz IS NULL OR (t.created_at, t.id) < ($8, $9::uuid))
         ORDER BY t.created_at DESC, t.id DESC LIMIT $10) t
         JOIN merchants m ON m.id = t.merchant_id
         JOIN outlets o ON o.id = t.outlet_id
         JOIN terminals e ON e.id = t.terminal_id
         ORDER BY t.created_at DESC, t.id DESC",
        scope,
        filter,
        page.after_time(),
        page.after_id(),
        page.limit
    ))
    .fetch_all(conn)
    .await
}
