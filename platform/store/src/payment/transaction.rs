//! Transactions: from the request for a code to the money.

use chrono::{DateTime, Utc};
use domain::qris::TipMode;
use domain::transaction::{QrType, TransactionStatus};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{
    CallbackId, DeviceId, MerchantId, OutletId, SettlementId, TerminalId, TransactionId,
};

use crate::{Page, Period, Scope, column};

/// A transaction, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Transaction {
    pub id: TransactionId,
    pub merchant_id: MerchantId,
    pub outlet_id: OutletId,
    pub terminal_id: TerminalId,
    pub device_id: Option<DeviceId>,
    pub qr_type: QrType,
    /// What was asked without a tip; once it is paid, what was paid.
    pub amount: Rupiah,
    /// How the code asks for a tip: free, fixed or percentage; null when it asks for none.
    pub tip_mode: Option<TipMode>,
    /// What a code with a tip asks for in all; with a free tip, the least.
    pub amount_due: Option<Rupiah>,
    /// The part of what was paid that is the tip.
    pub tip: Option<Rupiah>,
    /// What of it was taken back; all of it when it is reversed.
    pub refunded_amount: Rupiah,
    pub currency: String,
    pub status: TransactionStatus,
    pub late: bool,
    pub fee: Option<Rupiah>,
    pub net: Option<Rupiah>,
    pub fee_profile_id: Option<String>,
    pub fee_version: Option<i32>,
    pub partner_id: String,
    pub partner_reference: Option<String>,
    pub rrn: Option<String>,
    pub issuer: Option<String>,
    pub qr_reference: Option<String>,
    pub qr_payload: Option<String>,
    pub request_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub paid_at: Option<DateTime<Utc>>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub settlement_id: Option<SettlementId>,
}

impl Transaction {
    /// What was asked of the customer without a tip.
    pub fn asked(&self) -> Rupiah {
        let tip = self.tip.unwrap_or_default();
        self.amount.checked_sub(tip).unwrap_or(self.amount)
    }
}

/// Why a transaction became what it is. Every statement that changes a status writes its line of history too, so
/// that neither can be there without the other.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// A word for what caused it.
    pub cause: &'a str,
    /// The callback that did it.
    pub callback_id: Option<CallbackId>,
}

/// `query_as!` of transactions, with what their payments added; literals follow the tables `t` and `p`.
macro_rules! query_transactions {
    ($rest:literal $(+ $more:literal)* $(, $arg:expr)+ $(,)?) => {
        sqlx::query_as!(
            Transaction,
            r#"SELECT t.id, t.merchant_id, t.outlet_id, t.terminal_id, t.device_id, t.qr_type,
                      coalesce(p.amount, t.amount) AS "amount!: Rupiah", t.tip_mode, t.amount_due, p.tip AS "tip?",
                      coalesce(p.refunded, 0) AS "refunded_amount!: Rupiah", t.currency, t.status,
                      coalesce(p.late, false) AS "late!", p.fee AS "fee?", p.net AS "net?", p.fee_profile_id AS "fee_profile_id?",
                      p.fee_version AS "fee_version?", t.partner_id, p.partner_reference AS "partner_reference?", p.rrn AS "rrn?",
                      p.issuer AS "issuer?", t.qr_reference, t.qr_payload, t.request_id, t.created_at, t.expires_at,
                      p.paid_at AS "paid_at?", p.accepted_at AS "accepted_at?", p.settlement_id AS "settlement_id?"
               FROM transactions t LEFT JOIN payments p ON p.transaction_id = t.id "#
                + $rest $(+ $more)*
            $(, $arg)+
        )
    };
}

/// Stores a new transaction, without the payment of one that is paid.
///
/// # Errors
/// `transactions_device_request_unique`.
pub async fn insert(
    conn: &mut PgConnection,
    transaction: &Transaction,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH new AS (
             INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, device_id, qr_type, amount, currency, status, partner_id,
                 qr_reference, qr_payload, request_id, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING id, status, expires_at),
         open AS (
             INSERT INTO open_codes (expires_at, transaction_id)
             SELECT expires_at, id FROM new WHERE status IN ('initiated', 'awaiting_payment') AND expires_at IS NOT NULL)
         INSERT INTO transaction_events (transaction_id, at, to_status, cause, callback_id) SELECT id, $16, status, $17, $18 FROM new",
        transaction.id as _,
        transaction.merchant_id as _,
        transaction.outlet_id as _,
        transaction.terminal_id as _,
        transaction.device_id as _,
        transaction.qr_type as _,
        transaction.amount as _,
        transaction.currency,
        transaction.status as _,
        transaction.partner_id,
        transaction.qr_reference,
        transaction.qr_payload,
        transaction.request_id,
        transaction.created_at,
        transaction.expires_at,
        cause.at,
        cause.cause,
        cause.callback_id as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One transaction.
pub async fn find(
    conn: &mut PgConnection,
    scope: Scope,
    id: TransactionId,
) -> sqlx::Result<Option<Transaction>> {
    query_transactions!(
        "WHERE t.id = $1 AND ($2::uuid IS NULL OR t.merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One transaction, its row locked until the database transaction ends; of one partner, if it is given.
pub async fn lock(
    conn: &mut PgConnection,
    id: TransactionId,
    partner_id: Option<&str>,
) -> sqlx::Result<Option<Transaction>> {
    let found = query_transactions!(
        "WHERE t.id = $1 AND ($2::text IS NULL OR t.partner_id = $2) FOR NO KEY UPDATE OF t",
        id as _,
        partner_id
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(as_it_is_now(conn, found).await?.pop())
}

/// After waiting for a lock, a statement shows the row that it locked as it is now, and rows that it only joined as they
/// were when it began. So transactions that were paid meanwhile are read again.
async fn as_it_is_now(
    conn: &mut PgConnection,
    mut locked: Vec<Transaction>,
) -> sqlx::Result<Vec<Transaction>> {
    for one in &mut locked {
        let is_paid = matches!(
            one.status,
            TransactionStatus::Paid | TransactionStatus::Reversed
        );
        if is_paid && one.paid_at.is_none() {
            let now = find(conn, Scope::All, one.id).await?;
            *one = now.ok_or(sqlx::Error::RowNotFound)?;
        }
    }
    Ok(locked)
}

/// Whether this code was issued at a terminal, for a payment that is still awaited.
pub async fn is_payable(
    conn: &mut PgConnection,
    terminal_id: TerminalId,
    qr_payload: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM open_codes o JOIN transactions t ON t.id = o.transaction_id
           WHERE t.terminal_id = $1 AND t.status = 'awaiting_payment' AND t.qr_payload = $2) AS "payable!""#,
        terminal_id as _,
        qr_payload
    )
    .fetch_one(conn)
    .await
}

/// A partner's name for money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct PartnerReference<'a> {
    pub partner_id: &'a str,
    pub reference: &'a str,
}

/// The transactions of a partner that a message can be about: the one that it names, if it names one, and the one that carries
/// its reference, which may be the same. Their rows are locked until the database transaction ends, in the order of their ids.
pub async fn lock_candidates(
    conn: &mut PgConnection,
    reference: PartnerReference<'_>,
    named: Option<TransactionId>,
) -> sqlx::Result<Vec<Transaction>> {
    let locked = query_transactions!(
        "WHERE t.id = ANY(
             SELECT n.id FROM transactions n WHERE n.id = $3 AND n.partner_id = $1
             UNION
             SELECT r.transaction_id FROM payments r WHERE r.partner_reference = $2 AND r.partner_id = $1)
         ORDER BY t.id FOR NO KEY UPDATE OF t",
        reference.partner_id,
        reference.reference,
        named as _
    )
    .fetch_all(&mut *conn)
    .await?;
    as_it_is_now(conn, locked).await
}

/// Takes the locks of partners' references until the database transaction ends, in one order, so that two first
/// callbacks with the same reference cannot race each other.
pub async fn lock_references(
    conn: &mut PgConnection,
    references: &[PartnerReference<'_>],
) -> sqlx::Result<()> {
    let partners = column(references, |one| one.partner_id);
    let names = column(references, |one| one.reference);
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(lock) FROM (
             SELECT DISTINCT hashtextextended(partner_id || chr(10) || reference, 1) AS lock
             FROM unnest($1::text[], $2::text[]) AS r (partner_id, reference) ORDER BY lock) AS locks",
        &partners as _,
        &names as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The transaction a box asked for with this id of its own.
pub async fn find_by_request(
    conn: &mut PgConnection,
    device_id: DeviceId,
    request_id: &str,
) -> sqlx::Result<Option<Transaction>> {
    query_transactions!(
        "WHERE t.device_id = $1 AND t.request_id = $2",
        device_id as _,
        request_id
    )
    .fetch_optional(conn)
    .await
}

/// Which transactions a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub status: Option<TransactionStatus>,
    pub terminal_id: Option<TerminalId>,
    pub outlet_id: Option<OutletId>,
    pub partner_reference: Option<String>,
    /// When it was made.
    pub period: Period,
}

/// A query, `sqlx::query…!` or `query_transactions!`, of the transactions `t` with their payments `p` that a scope and a
/// [`Filter`] select. They are its parameters 1 to 7; its own follow.
///
/// No index has the status. Codes that are open are few among all, and are found by their own table.
macro_rules! query_selected {
    ($query:ident!([$($head:tt)*] WHERE $rest:literal, $scope:expr, $filter:expr, $($own:expr),+ $(,)?)) => {
        $query!(
            $($head)*
            "WHERE ($1::uuid IS NULL OR t.merchant_id = $1) AND ($2::text IS NULL OR t.status = $2)
               AND ($3::uuid IS NULL OR t.terminal_id = $3) AND ($4::uuid IS NULL OR t.outlet_id = $4)
               AND ($5::text IS NULL OR p.partner_reference = $5)
               AND ($6::timestamptz IS NULL OR t.created_at >= $6) AND ($7::timestamptz IS NULL OR t.created_at < $7)
               AND ($2 IS NULL OR $2 NOT IN ('initiated', 'awaiting_payment')
                    OR t.id = ANY(ARRAY(SELECT transaction_id FROM open_codes))) "
                + $rest,
            $scope.merchant(),
            $filter.status as _,
            $filter.terminal_id as _,
            $filter.outlet_id as _,
            $filter.partner_reference,
            $filter.period.from,
            $filter.period.to,
            $($own),+
        )
    };
}
pub(super) use query_selected;

/// Transactions, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Transaction>> {
    query_selected!(query_transactions!(
        [] WHERE
        "AND ($8::timestamptz IS NULL OR (t.created_at, t.id) < ($8, $9::uuid))
         ORDER BY t.created_at DESC, t.id DESC LIMIT $10",
        scope,
        filter,
        page.after_time(),
        page.after_id(),
        page.limit
    ))
    .fetch_all(conn)
    .await
}

/// Stores the payment of a paid transaction.
///
/// # Errors
/// `payments_reference_unique`.
pub async fn insert_payment(conn: &mut PgConnection, paid: &Transaction) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO payments (transaction_id, merchant_id, outlet_id, amount, tip, fee, net, paid_at, accepted_at, fee_version, late,
             fee_profile_id, partner_id, partner_reference, rrn, issuer)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        paid.id as _,
        paid.merchant_id as _,
        paid.outlet_id as _,
        paid.amount as _,
        paid.tip as _,
        paid.fee as _,
        paid.net as _,
        paid.paid_at,
        paid.accepted_at,
        paid.fee_version,
        paid.late,
        paid.fee_profile_id,
        paid.partner_id,
        paid.partner_reference,
        paid.rrn,
        paid.issuer
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// `from` → `to`, for ends without money of their own: failed, expired.
///
/// # Errors
/// `RowNotFound` when the transaction is no longer in `from`.
pub async fn set_status(
    conn: &mut PgConnection,
    id: TransactionId,
    from: TransactionStatus,
    to: TransactionStatus,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "WITH ended AS (UPDATE transactions SET status = $3 WHERE id = $1 AND status = $2 RETURNING id, expires_at),
         closed AS (
             DELETE FROM open_codes WHERE ctid = ANY(ARRAY(SELECT (
                 SELECT ctid FROM open_codes o WHERE o.expires_at = e.expires_at AND o.transaction_id = e.id) FROM ended e)))
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $4, $2, $3, $5, $6 FROM ended",
        id as _,
        from as _,
        to as _,
        cause.at,
        cause.cause,
        cause.callback_id as _
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// A code that a partner gave.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Code<'a> {
    pub qr_payload: &'a str,
    pub qr_reference: Option<&'a str>,
    pub tip_mode: Option<TipMode>,
    pub amount_due: Option<Rupiah>,
}

/// Shows the code that a partner gave; initiated → awaiting payment, unless it went on meanwhile.
///
/// # Errors
/// `RowNotFound` when there is no such transaction.
pub async fn show(
    conn: &mut PgConnection,
    id: TransactionId,
    code: Code<'_>,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE transactions SET qr_payload = $2, qr_reference = $3, tip_mode = $4, amount_due = $5 WHERE id = $1",
        id as _,
        code.qr_payload,
        code.qr_reference,
        code.tip_mode as _,
        code.amount_due as _
    )
    .execute(&mut *conn)
    .await?;
    super::super::exactly_one(&result)?;
    sqlx::query!(
        "WITH shown AS (UPDATE transactions SET status = 'awaiting_payment' WHERE id = $1 AND status = 'initiated' RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $2, 'initiated', 'awaiting_payment', $3, $4 FROM shown",
        id as _,
        cause.at,
        cause.cause,
        cause.callback_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One step in the life of a transaction.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TransactionEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Where it stood; null at its beginning.
    pub from_status: Option<TransactionStatus>,
    /// Where it stands from here on.
    pub to_status: TransactionStatus,
    /// What did it, in a word.
    pub cause: String,
    /// The partner's message that did it.
    pub callback_id: Option<CallbackId>,
}

/// The life of a transaction, from its beginning. It has few steps: states consume themselves.
pub async fn events(
    conn: &mut PgConnection,
    id: TransactionId,
) -> sqlx::Result<Vec<TransactionEvent>> {
    sqlx::query_as!(
        TransactionEvent,
        "SELECT at, from_status, to_status, cause, callback_id FROM transaction_events WHERE transaction_id = $1 ORDER BY id",
        id as _
    )
    .fetch_all(conn)
    .await
}

/// Up to `limit` transactions whose time is over.
pub async fn overdue(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<TransactionId>> {
    sqlx::query_scalar!(
        "SELECT transaction_id FROM open_codes WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Expires up to `limit` transactions whose time is over, of these or of all, with their events.
pub async fn expire_overdue(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    only: Option<&[TransactionId]>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH overdue AS (
             SELECT t.id, t.status, o.expires_at FROM open_codes o JOIN transactions t ON t.id = o.transaction_id
             WHERE o.expires_at <= $1 AND t.status IN ('initiated', 'awaiting_payment') AND ($3::uuid[] IS NULL OR t.id = ANY($3))
             ORDER BY o.expires_at LIMIT $2 FOR NO KEY UPDATE OF t SKIP LOCKED),
         expired AS (
             UPDATE transactions t SET status = 'expired' FROM overdue o
             WHERE t.id = o.id AND t.status = o.status RETURNING t.id, o.status AS from_status),
         closed AS (
             DELETE FROM open_codes c USING overdue o WHERE c.expires_at = o.expires_at AND c.transaction_id = o.id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause)
         SELECT id, $1, from_status, 'expired', 'time' FROM expired",
        now,
        limit,
        only as _
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
