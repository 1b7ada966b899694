//! Refunds: what is, or is to be, taken back of a payment.
//!
//! Whoever writes one holds the lock of its transaction, except for the marks of a question that is under way.

use chrono::{DateTime, Utc};
use domain::refund::{KnownRefund, Part, RefundStatus, Refundable};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{CallbackId, MerchantId, SettlementId, TransactionId};

use super::transaction::Cause;
use crate::exactly_one;

/// A refund, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Refund {
    /// Within its payment, from 1.
    pub number: i16,
    /// How far it is.
    pub status: RefundStatus,
    /// What the customer gets back.
    pub amount: Rupiah,
    /// What is returned of the fee, once it is done.
    pub fee: Option<Rupiah>,
    /// What the merchant is no longer owed, once it is done.
    pub net: Option<Rupiah>,
    /// How it is named to the partner (`partnerRefundNo`); null: the partner did it without being asked.
    pub refund_name: Option<String>,
    /// The partner's number for it (`refundNo`), if it gave one.
    pub refund_no: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// The partner's message that said so.
    pub callback_id: Option<CallbackId>,
    /// What the partner answered last, when it did not do it.
    pub answer: Option<String>,
    /// How often the partner was asked.
    pub attempts: i32,
    /// Until when its answer is waited for.
    #[serde(skip)]
    pub asked_until: Option<DateTime<Utc>>,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// The settlement that deducted it.
    pub settlement_id: Option<SettlementId>,
}

impl Refund {
    /// As a partner's message is compared with it.
    pub fn known(&self) -> KnownRefund<'_> {
        KnownRefund {
            number: self.number,
            name: self.refund_name.as_deref(),
            refund_no: self.refund_no.as_deref(),
            amount: self.amount,
            status: self.status,
        }
    }
}

/// The refunds of a transaction, in their order. A payment has few.
pub async fn list(
    conn: &mut PgConnection,
    transaction_id: TransactionId,
) -> sqlx::Result<Vec<Refund>> {
    sqlx::query_as!(
        Refund,
        "SELECT number, status, amount, fee, net, refund_name, refund_no, reason, requested_by, requested_at, callback_id, answer,
                attempts, asked_until, done_at, settlement_id
         FROM refunds WHERE transaction_id = $1 ORDER BY number",
        transaction_id as _
    )
    .fetch_all(conn)
    .await
}

/// One refund of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct RefundKey {
    pub transaction_id: TransactionId,
    pub number: i16,
}

/// A refund that is stored before it is done.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewRefund<'a> {
    pub key: RefundKey,
    pub merchant_id: MerchantId,
    pub refund_name: Option<&'a str>,
    pub refund_no: Option<&'a str>,
    pub amount: Rupiah,
    pub reason: Option<&'a str>,
    pub requested_by: &'a str,
    pub requested_at: DateTime<Utc>,
    pub callback_id: Option<CallbackId>,
}

/// Stores a refund as requested.
///
/// # Errors
/// `refunds_one_requested`, `refunds_refund_no_unique`.
pub async fn insert(conn: &mut PgConnection, refund: &NewRefund<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refunds (transaction_id, number, merchant_id, refund_name, refund_no, amount, status, reason, requested_by,
             requested_at, callback_id)
         VALUES ($1, $2, $3, $4, $5, $6, 'requested', $7, $8, $9, $10)",
        refund.key.transaction_id as _,
        refund.key.number,
        refund.merchant_id as _,
        refund.refund_name,
        refund.refund_no,
        refund.amount as _,
        refund.reason,
        refund.requested_by,
        refund.requested_at,
        refund.callback_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a requested refund as one whose partner is being asked, until a time; after it the partner is asked again. Answers
/// how often it was asked.
///
/// # Errors
/// `RowNotFound` when it is not requested any more.
pub async fn ask(
    conn: &mut PgConnection,
    key: RefundKey,
    until: DateTime<Utc>,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "UPDATE refunds SET attempts = attempts + 1, asked_until = $3, due_at = $3
         WHERE transaction_id = $1 AND number = $2 AND status = 'requested' RETURNING attempts",
        key.transaction_id as _,
        key.number,
        until
    )
    .fetch_one(conn)
    .await
}

/// Notes that the partner did not say whether it did it, and when it is asked again; never by itself without a time.
pub async fn unanswered(
    conn: &mut PgConnection,
    key: RefundKey,
    answer: &str,
    due_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE refunds SET answer = $3, asked_until = NULL, due_at = $4
         WHERE transaction_id = $1 AND number = $2 AND status = 'requested'",
        key.transaction_id as _,
        key.number,
        answer,
        due_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a requested refund that the partner refused; nothing, when it was done meanwhile.
pub async fn refuse(conn: &mut PgConnection, key: RefundKey, answer: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE refunds SET status = 'refused', answer = $3, asked_until = NULL, due_at = NULL
         WHERE transaction_id = $1 AND number = $2 AND status = 'requested'",
        key.transaction_id as _,
        key.number,
        answer
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Learns the partner's number of a refund, unless one is known.
pub async fn learn(conn: &mut PgConnection, key: RefundKey, refund_no: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE refunds SET refund_no = $3 WHERE transaction_id = $1 AND number = $2 AND refund_no IS NULL
           AND NOT EXISTS (SELECT 1 FROM refunds o WHERE o.transaction_id = $1 AND o.refund_no = $3)",
        key.transaction_id as _,
        key.number,
        refund_no
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` refunds whose partner is to be asked again, marked as being asked until a time, and how often it was asked.
pub async fn take_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<(RefundKey, i32)>> {
    let rows = sqlx::query!(
        "WITH due AS (
             SELECT transaction_id, number FROM refunds WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         UPDATE refunds r SET attempts = attempts + 1, asked_until = $2, due_at = $2 FROM due
         WHERE r.transaction_id = due.transaction_id AND r.number = due.number
         RETURNING r.transaction_id, r.number, r.attempts",
        now,
        until,
        limit
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| {
        let (transaction_id, number) = (row.transaction_id, row.number);
        let key = RefundKey {
            transaction_id,
            number,
        };
        (key, row.attempts)
    });
    Ok(due.collect())
}

/// Writes that a part was taken back: of the refund, of the payment, and with the last part the end of the transaction. The
/// caller holds the lock of the transaction, which is paid, and has added the refund to what was taken back before.
///
/// # Errors
/// `RowNotFound` when the refund is done already; `payments_refunded_within`.
pub async fn finish(
    conn: &mut PgConnection,
    key: RefundKey,
    part: Part,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "WITH payment AS (
             UPDATE payments SET refunded = refunded + $3, fee_refunded = fee_refunded + $4, reversed_at = CASE WHEN $6::boolean THEN $7::timestamptz END
             WHERE transaction_id = $1 RETURNING transaction_id),
         ended AS (
             UPDATE transactions t SET status = 'reversed' FROM payment p
             WHERE t.id = p.transaction_id AND t.status = 'paid' AND $6 RETURNING t.id),
         history AS (
             INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
             SELECT id, $7, 'paid', 'reversed', $8, $9 FROM ended)
         UPDATE refunds r SET status = 'done', fee = $4, net = $5, done_at = $7, asked_until = NULL, due_at = NULL,
             callback_id = coalesce($9, r.callback_id)
         FROM payment p WHERE r.transaction_id = p.transaction_id AND r.number = $2 AND r.status <> 'done'",
        key.transaction_id as _,
        key.number,
        part.amount as _,
        part.fee as _,
        part.net as _,
        part.is_last,
        cause.at,
        cause.cause,
        cause.callback_id as _
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// What was paid, and what of it was taken back, as it is now; the payment's row is locked until the database transaction
/// ends. None: it is not paid. The caller holds the lock of the transaction.
pub async fn refundable(
    conn: &mut PgConnection,
    transaction_id: TransactionId,
) -> sqlx::Result<Option<Refundable>> {
    sqlx::query_as!(
        Refundable,
        "SELECT amount, fee, refunded, fee_refunded FROM payments WHERE transaction_id = $1 FOR NO KEY UPDATE",
        transaction_id as _
    )
    .fetch_optional(conn)
    .await
}
