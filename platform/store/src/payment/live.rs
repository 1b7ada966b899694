//! Payments as people watch them: who was paid, and how far the announcement has come.

use chrono::{DateTime, Utc};
use domain::total::Total;
use sqlx::PgConnection;
use wire::Rupiah;
use wire::ids::{MerchantId, TransactionId};

use crate::{Scope, total};

/// A payment with the marks of its announcement. Times after the acceptance are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePayment {
    /// The transaction.
    pub id: TransactionId,
    /// Who was paid.
    pub merchant_id: MerchantId,
    /// Its name on signs.
    pub merchant: String,
    /// The shop.
    pub outlet: String,
    /// The counter.
    pub terminal: String,
    /// What was paid.
    pub amount: Rupiah,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
    /// When we committed it.
    pub accepted_at: DateTime<Utc>,
    /// Whether it was taken back.
    pub reversed: bool,
    /// What of it was taken back.
    pub refunded: Rupiah,
    /// The customer's bank or wallet.
    pub issuer: Option<String>,
    /// How many boxes were to announce it.
    pub boxes: i64,
    /// Until it was first handed to the wire.
    pub sent_ms: Option<i64>,
    /// Until a box first confirmed that it had said it.
    pub played_ms: Option<i64>,
    /// Until a box that can tell no more had it.
    pub received_ms: Option<i64>,
    /// How many announcements are not over.
    pub open: i64,
}

/// The newest payments that were made, of all merchants or of one. Index: `transactions_newest`, `transactions_by_merchant`.
pub async fn newest(
    conn: &mut PgConnection,
    scope: Scope,
    limit: i64,
) -> sqlx::Result<Vec<TransactionId>> {
    match scope {
        Scope::All => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id: TransactionId" FROM transactions WHERE status IN ('paid', 'reversed')
                   ORDER BY created_at DESC, id DESC LIMIT $1"#,
                limit
            )
            .fetch_all(conn)
            .await
        }
        Scope::Merchant(merchant_id) => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id: TransactionId" FROM transactions
                   WHERE merchant_id = $1 AND status IN ('paid', 'reversed')
                   ORDER BY created_at DESC, id DESC LIMIT $2"#,
                merchant_id as _,
                limit
            )
            .fetch_all(conn)
            .await
        }
    }
}

/// The payments that were accepted at `since` or later, but for those that are `known`; the oldest first. Index:
/// `payments_by_acceptance`.
pub async fn accepted(
    conn: &mut PgConnection,
    since: DateTime<Utc>,
    known: &[TransactionId],
    limit: i64,
) -> sqlx::Result<Vec<TransactionId>> {
    sqlx::query_scalar!(
        r#"SELECT transaction_id AS "id: TransactionId" FROM payments
           WHERE accepted_at >= $1 AND transaction_id <> ALL($2) ORDER BY accepted_at, transaction_id LIMIT $3"#,
        since,
        known as _,
        limit
    )
    .fetch_all(conn)
    .await
}

/// These payments, in the order of their acceptance. Replays are not among what is counted.
pub async fn of(conn: &mut PgConnection, ids: &[TransactionId]) -> sqlx::Result<Vec<LivePayment>> {
    sqlx::query_as!(
        LivePayment,
        r#"SELECT p.transaction_id AS id, p.merchant_id, m.brand_name AS merchant, o.name AS outlet, te.name AS terminal, p.amount,
                  p.paid_at, p.accepted_at, p.reversed_at IS NOT NULL AS "reversed!", p.refunded, p.issuer,
                  n.boxes AS "boxes!", n.sent_ms, n.played_ms, n.received_ms, n.open AS "open!"
           FROM payments p
           JOIN transactions t ON t.id = p.transaction_id
           JOIN merchants m ON m.id = p.merchant_id
           JOIN outlets o ON o.id = p.outlet_id
           JOIN terminals te ON te.id = t.terminal_id
           CROSS JOIN LATERAL (
               SELECT count(*) AS boxes, count(*) FILTER (WHERE is_open) AS open,
                      min(round(extract(epoch FROM sent_at - p.accepted_at) * 1000))::bigint AS sent_ms,
                      min(round(extract(epoch FROM acked_at - p.accepted_at) * 1000)) FILTER (WHERE status = 'played')::bigint
                          AS played_ms,
                      min(round(extract(epoch FROM received_at - p.accepted_at) * 1000)) FILTER (WHERE is_final)::bigint
                          AS received_ms
               FROM notifications n WHERE n.transaction_id = p.transaction_id AND NOT n.replay) n
           WHERE p.transaction_id = ANY($1)
           ORDER BY p.accepted_at, p.transaction_id"#,
        ids as _
    )
    .fetch_all(conn)
    .await
}

/// What was taken in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many payments.
    pub count: i64,
    /// Their amounts.
    pub gross: Total,
}

/// What all merchants took of payments made in `from..to`, without what was taken back since. Index: `payments_by_time`.
pub async fn taken(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Taken> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", coalesce(sum(amount - refunded), 0)::text AS "gross!" FROM payments
           WHERE paid_at >= $1 AND paid_at < $2 AND reversed_at IS NULL"#,
        from,
        to
    )
    .fetch_one(conn)
    .await?;
    Ok(Taken {
        count: row.count,
        gross: total(&row.gross)?,
    })
}

/// How many payments were made in each hour of `from..to` that had any; hours are counted from `from`. Without what was
/// taken back since. Index: `payments_by_time`.
pub async fn by_hour(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Vec<(i32, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT floor(extract(epoch FROM paid_at - $1) / 3600)::int AS "hour!", count(*) AS "count!" FROM payments
           WHERE paid_at >= $1 AND paid_at < $2 AND reversed_at IS NULL GROUP BY 1"#,
        from,
        to
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.hour, row.count)).collect())
}

/// What waits for a person, but for alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Money that belongs to nobody yet.
    pub unmatched: i64,
    /// Changes that a second person is to confirm.
    pub approvals: i64,
    /// Settlements whose payout failed or came back.
    pub payouts: i64,
}

/// Counts what waits for a person. Indexes: `unmatched_payments_by_status`; the others are small tables.
pub async fn waiting(conn: &mut PgConnection) -> sqlx::Result<Waiting> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT (SELECT count(*) FROM unmatched_payments WHERE status = 'open') AS "unmatched!",
                  (SELECT count(*) FROM approvals WHERE status = 'pending') AS "approvals!",
                  (SELECT count(*) FROM settlements WHERE status IN ('failed', 'returned')) AS "payouts!""#
    )
    .fetch_one(conn)
    .await
}
