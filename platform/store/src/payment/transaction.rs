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

/// Stores a new transaction.
///
/// # Errors
/// `transactions_device_request_unique`, `transactions_partner_reference_unique`.
pub async fn insert(
    conn: &mut PgConnection,
    transaction: &Transaction,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH new AS (INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, device_id, qr_type, amount, currency, status,
             late, fee, net, fee_profile_id, fee_version, partner_id, partner_reference, rrn, issuer, qr_reference,
             qr_payload, request_id, created_at, expires_at, paid_at, accepted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
         RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, to_status, cause, callback_id) SELECT id, $26, $9, $27, $28 FROM new",
        transaction.id as _,
        transaction.merchant_id as _,
        transaction.outlet_id as _,
        transaction.terminal_id as _,
        transaction.device_id as _,
        transaction.qr_type as _,
        transaction.amount as _,
        transaction.currency,
        transaction.status as _,
        transaction.late,
        transaction.fee as _,
        transaction.net as _,
        transaction.fee_profile_id,
        transaction.fee_version,
        transaction.partner_id,
        transaction.partner_reference,
        transaction.rrn,
        transaction.issuer,
        transaction.qr_reference,
        transaction.qr_payload,
        transaction.request_id,
        transaction.created_at,
        transaction.expires_at,
        transaction.paid_at,
        transaction.accepted_at,
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
    sqlx::query_as!(
        Transaction,
        "SELECT * FROM transactions WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One transaction, its row locked until the database transaction ends.
pub async fn lock(conn: &mut PgConnection, id: TransactionId) -> sqlx::Result<Option<Transaction>> {
    sqlx::query_as!(
        Transaction,
        "SELECT * FROM transactions WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Whether this code was issued at a terminal, for a payment that is still awaited.
pub async fn is_payable(
    conn: &mut PgConnection,
    terminal_id: TerminalId,
    qr_payload: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM transactions
           WHERE terminal_id = $1 AND status = 'awaiting_payment' AND qr_payload = $2) AS "payable!""#,
        terminal_id as _,
        qr_payload
    )
    .fetch_one(conn)
    .await
}

/// One transaction that was issued through a partner, its row locked until the database transaction ends.
pub async fn lock_of_partner(
    conn: &mut PgConnection,
    partner_id: &str,
    id: TransactionId,
) -> sqlx::Result<Option<Transaction>> {
    sqlx::query_as!(
        Transaction,
        "SELECT * FROM transactions WHERE id = $1 AND partner_id = $2 FOR UPDATE",
        id as _,
        partner_id
    )
    .fetch_optional(conn)
    .await
}

/// A partner's name for money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct PartnerReference<'a> {
    pub partner_id: &'a str,
    pub reference: &'a str,
}

/// The transactions of partners that messages can be about: those that they name, if they name one, and those that carry
/// their references, which may be the same. Their rows are locked until the database transaction ends, in the order of
/// their ids.
pub async fn lock_candidates(
    conn: &mut PgConnection,
    messages: &[(PartnerReference<'_>, Option<TransactionId>)],
) -> sqlx::Result<Vec<Transaction>> {
    let partners = column(messages, |(reference, _)| reference.partner_id);
    let references = column(messages, |(reference, _)| reference.reference);
    let named = column(messages, |(_, named)| *named);
    sqlx::query_as!(
        Transaction,
        "WITH messages AS (SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) AS m (partner_id, reference, named))
         SELECT * FROM transactions WHERE id = ANY(
             SELECT t.id FROM messages m JOIN transactions t ON t.id = m.named AND t.partner_id = m.partner_id
             UNION
             SELECT t.id FROM messages m JOIN transactions t ON t.partner_id = m.partner_id AND t.partner_reference = m.reference)
         ORDER BY id FOR UPDATE",
        &partners as _,
        &references as _,
        &named as _
    )
    .fetch_all(conn)
    .await
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
    sqlx::query_as!(
        Transaction,
        "SELECT * FROM transactions WHERE device_id = $1 AND request_id = $2",
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

/// A query of sqlx over the transactions that a scope and a [`Filter`] select. They are its parameters 1 to 7; its own
/// follow.
macro_rules! query_selected {
    ($query:ident!($($row:ident,)? $select:literal WHERE $rest:literal, $scope:expr, $filter:expr, $($own:expr),+)) => {
        sqlx::$query!(
            $($row,)?
            $select
                + " WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR status = $2)
                      AND ($3::uuid IS NULL OR terminal_id = $3) AND ($4::uuid IS NULL OR outlet_id = $4)
                      AND ($5::text IS NULL OR partner_reference = $5)
                      AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7) "
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
    query_selected!(query_as!(
        Transaction,
        "SELECT * FROM transactions" WHERE
        "AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $10",
        scope,
        filter,
        page.after_time(),
        page.after_id(),
        page.limit
    ))
    .fetch_all(conn)
    .await
}

/// What a payment adds to its transaction.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Payment<'a> {
    pub transaction_id: TransactionId,
    /// The status that it has until now.
    pub from: TransactionStatus,
    pub callback_id: CallbackId,
    pub late: bool,
    pub amount: Rupiah,
    pub tip: Option<Rupiah>,
    pub fee: Rupiah,
    pub net: Rupiah,
    pub fee_profile_id: &'a str,
    pub fee_version: i32,
    pub partner_reference: &'a str,
    pub rrn: Option<&'a str>,
    pub issuer: Option<&'a str>,
    pub paid_at: DateTime<Utc>,
}

/// `from` → paid, for transactions that callbacks paid.
///
/// # Errors
/// `RowNotFound` when one of them is no longer in its `from`.
pub async fn mark_paid(
    conn: &mut PgConnection,
    payments: &[Payment<'_>],
    accepted_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids = column(payments, |one| one.transaction_id);
    let from = column(payments, |one| one.from);
    let callbacks = column(payments, |one| one.callback_id);
    let late = column(payments, |one| one.late);
    let amounts = column(payments, |one| one.amount);
    let tips = column(payments, |one| one.tip);
    let fees = column(payments, |one| one.fee);
    let nets = column(payments, |one| one.net);
    let profiles = column(payments, |one| one.fee_profile_id);
    let versions = column(payments, |one| one.fee_version);
    let references = column(payments, |one| one.partner_reference);
    let rrns = column(payments, |one| one.rrn);
    let issuers = column(payments, |one| one.issuer);
    let paid_at = column(payments, |one| one.paid_at);
    let result = sqlx::query!(
        "WITH new AS (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                 $9::text[], $10::int[], $11::text[], $12::text[], $13::text[], $14::timestamptz[])
             AS n (id, from_status, callback_id, late, amount, tip, fee, net, fee_profile_id, fee_version, partner_reference, rrn, issuer, paid_at)),
         paid AS (
             UPDATE transactions t SET status = 'paid', late = n.late, amount = n.amount, tip = n.tip, fee = n.fee, net = n.net,
                 fee_profile_id = n.fee_profile_id, fee_version = n.fee_version, partner_reference = n.partner_reference, rrn = n.rrn,
                 issuer = n.issuer, paid_at = n.paid_at, accepted_at = $15
             FROM new n
             WHERE t.id = n.id AND t.status = n.from_status AND t.status IN ('initiated', 'awaiting_payment', 'expired', 'failed')
             RETURNING n.id, n.from_status, n.callback_id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $15, from_status, 'paid', 'callback', callback_id FROM paid",
        &ids as _,
        &from as _,
        &callbacks as _,
        &late,
        &amounts as _,
        &tips as _,
        &fees as _,
        &nets as _,
        &profiles as _,
        &versions,
        &references as _,
        &rrns as _,
        &issuers as _,
        &paid_at,
        accepted_at
    )
    .execute(conn)
    .await?;
    crate::exactly(&result, payments.len())
}

/// `from` → `to`, for transitions that carry no money of their own.
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
        "WITH changed AS (UPDATE transactions SET status = $3 WHERE id = $1 AND status = $2 RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $4, $2, $3, $5, $6 FROM changed",
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
        "SELECT id FROM transactions WHERE status IN ('awaiting_payment', 'initiated') AND expires_at <= $1
         ORDER BY expires_at LIMIT $2",
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
        "WITH shown AS (
             SELECT id, status FROM transactions WHERE status = 'awaiting_payment' AND expires_at <= $1
               AND ($3::uuid[] IS NULL OR id = ANY($3))
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),
         never_shown AS (
             SELECT id, status FROM transactions WHERE status = 'initiated' AND expires_at <= $1 AND ($3::uuid[] IS NULL OR id = ANY($3))
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),
         overdue AS (SELECT * FROM shown UNION ALL SELECT * FROM never_shown),
         expired AS (
             UPDATE transactions t SET status = 'expired' FROM overdue o
             WHERE t.id = o.id AND t.status = o.status RETURNING t.id, o.status AS from_status)
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
