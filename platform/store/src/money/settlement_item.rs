//! What a settlement is made of: sales, and what was taken back of these and of sales that an earlier one paid out.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{SettlementId, TerminalId, TransactionId};

/// One item, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Item {
    pub transaction_id: TransactionId,
    /// `sale`, or `refund`, which is taken off.
    pub kind: String,
    /// Which refund of its payment; 0 of a sale.
    pub refund_number: i16,
    pub amount: Rupiah,
    pub fee: Rupiah,
    pub net: Rupiah,
    pub terminal_id: TerminalId,
    /// The outlet's name.
    pub outlet: String,
    /// The time zone of the outlet, as the IANA names it.
    #[serde(skip)]
    pub timezone: String,
    /// The terminal's name.
    pub terminal: String,
    pub paid_at: Option<DateTime<Utc>>,
    pub partner_reference: Option<String>,
    pub rrn: Option<String>,
}

/// A place among the items, which are in the order of their transactions.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct After {
    pub transaction_id: TransactionId,
    pub kind: String,
    pub refund_number: i16,
}

/// Items after a place, the oldest first.
pub async fn list(
    conn: &mut PgConnection,
    settlement_id: SettlementId,
    after: Option<&After>,
    limit: i64,
) -> sqlx::Result<Vec<Item>> {
    sqlx::query_as!(
        Item,
        "SELECT i.transaction_id, i.kind, i.refund_number, i.amount, i.fee, i.net, t.terminal_id, o.name AS outlet, o.timezone, e.name AS terminal,
                p.paid_at, p.partner_reference, p.rrn
         FROM settlement_items i
         JOIN payments p ON p.transaction_id = i.transaction_id
         JOIN transactions t ON t.id = i.transaction_id
         JOIN outlets o ON o.id = t.outlet_id
         JOIN terminals e ON e.id = t.terminal_id
         WHERE i.settlement_id = $1 AND ($2::uuid IS NULL OR (i.transaction_id, i.kind, i.refund_number) > ($2, $3, $4))
         ORDER BY i.transaction_id, i.kind, i.refund_number LIMIT $5",
        settlement_id as _,
        after.map(|after| after.transaction_id) as _,
        after.map(|after| after.kind.as_str()),
        after.map(|after| after.refund_number),
        limit
    )
    .fetch_all(conn)
    .await
}
