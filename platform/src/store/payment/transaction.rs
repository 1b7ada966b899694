//! Transactions: from the request for a code to the money.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::Rupiah;
use wire::ids::{
    CallbackId, DeviceId, MerchantId, OutletId, SettlementId, TerminalId, TransactionId,
};

use crate::store::{Page, Period, Scope};

/// A transaction, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Transaction {
    pub id: TransactionId,
    pub merchant_id: MerchantId,
    pub outlet_id: OutletId,
    pub terminal_id: TerminalId,
    pub device_id: Option<DeviceId>,
    #[schema(value_type = domain::transaction::QrType)]
    pub qr_type: String,
    /// What was asked without a tip; once it is paid, what was paid.
    pub amount: Rupiah,
    /// How the code asks for a tip: free, fixed or percentage; null when it asks for none.
    #[schema(value_type = Option<domain::qris::TipMode>)]
    pub tip_mode: Option<String>,
    /// What a code with a tip asks for in all; with a free tip, the least.
    pub amount_due: Option<Rupiah>,
    /// The part of what was paid that is the tip.
    pub tip: Option<Rupiah>,
    pub currency: String,
    #[schema(value_type = domain::transaction::TransactionStatus)]
    pub status: String,
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

struct Row {
    id: Uuid,
    merchant_id: Uuid,
    outlet_id: Uuid,
    terminal_id: Uuid,
    device_id: Option<Uuid>,
    qr_type: String,
    amount: i64,
    tip_mode: Option<String>,
    amount_due: Option<i64>,
    tip: Option<i64>,
    currency: String,
    status: String,
    late: bool,
    fee: Option<i64>,
    net: Option<i64>,
    fee_profile_id: Option<String>,
    fee_version: Option<i32>,
    partner_id: String,
    partner_reference: Option<String>,
    rrn: Option<String>,
    issuer: Option<String>,
    qr_reference: Option<String>,
    qr_payload: Option<String>,
    request_id: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    paid_at: Option<DateTime<Utc>>,
    accepted_at: Option<DateTime<Utc>>,
    settlement_id: Option<Uuid>,
}

impl Transaction {
    /// What was asked of the customer without a tip.
    pub fn asked(&self) -> Rupiah {
        let tip = self.tip.unwrap_or_default();
        self.amount.checked_sub(tip).unwrap_or(self.amount)
    }
}

impl From<Row> for Transaction {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            merchant_id: row.merchant_id.into(),
            outlet_id: row.outlet_id.into(),
            terminal_id: row.terminal_id.into(),
            device_id: row.device_id.map(DeviceId::from_uuid),
            qr_type: row.qr_type,
            amount: row.amount.into(),
            tip_mode: row.tip_mode,
            amount_due: row.amount_due.map(Rupiah::from),
            tip: row.tip.map(Rupiah::from),
            currency: row.currency,
            status: row.status,
            late: row.late,
            fee: row.fee.map(Rupiah::from),
            net: row.net.map(Rupiah::from),
            fee_profile_id: row.fee_profile_id,
            fee_version: row.fee_version,
            partner_id: row.partner_id,
            partner_reference: row.partner_reference,
            rrn: row.rrn,
            issuer: row.issuer,
            qr_reference: row.qr_reference,
            qr_payload: row.qr_payload,
            request_id: row.request_id,
            created_at: row.created_at,
            expires_at: row.expires_at,
            paid_at: row.paid_at,
            accepted_at: row.accepted_at,
            settlement_id: row.settlement_id.map(SettlementId::from_uuid),
        }
    }
}

/// Why a transaction became what it is. Every statement that changes a status writes its line of history too, so
/// that neither can be there without the other.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// What did it, in a word.
    pub cause: &'a str,
    /// The callback that did it.
    pub callback_id: Option<CallbackId>,
}

/// Stores a new transaction.
///
/// # Errors
/// The database's; `transactions_device_request_unique`, `transactions_partner_reference_unique`.
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
        transaction.id.as_uuid(),
        transaction.merchant_id.as_uuid(),
        transaction.outlet_id.as_uuid(),
        transaction.terminal_id.as_uuid(),
        transaction.device_id.map(DeviceId::as_uuid),
        transaction.qr_type,
        transaction.amount.to_i64(),
        transaction.currency,
        transaction.status,
        transaction.late,
        transaction.fee.map(Rupiah::to_i64),
        transaction.net.map(Rupiah::to_i64),
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
        cause.callback_id.map(CallbackId::as_uuid),
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
    let row = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id.as_uuid(),
        scope.merchant()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Transaction::from))
}

/// One transaction, its row locked until the database transaction ends.
pub async fn lock(conn: &mut PgConnection, id: TransactionId) -> sqlx::Result<Option<Transaction>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Transaction::from))
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
        terminal_id.as_uuid(),
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
    let row = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions WHERE id = $1 AND partner_id = $2 FOR UPDATE",
        id.as_uuid(),
        partner_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Transaction::from))
}

/// The transactions of a partner that a message can be about: the one that it names, if it names one, and the one that
/// carries its reference, which may be the same. Their rows are locked until the database transaction ends.
pub async fn lock_candidates(
    conn: &mut PgConnection,
    partner_id: &str,
    named: Option<TransactionId>,
    reference: &str,
) -> sqlx::Result<Vec<Transaction>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions WHERE partner_id = $1 AND (id = $2 OR partner_reference = $3) ORDER BY id FOR UPDATE",
        partner_id,
        named.map(TransactionId::as_uuid),
        reference
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Transaction::from).collect())
}

/// Takes the lock of a partner's reference until the database transaction ends, so that two first
/// callbacks with the same reference cannot race each other.
pub async fn lock_reference(
    conn: &mut PgConnection,
    partner_id: &str,
    reference: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 1))",
        partner_id,
        reference
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
    let row = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions WHERE device_id = $1 AND request_id = $2",
        device_id.as_uuid(),
        request_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Transaction::from))
}

/// Which transactions a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub status: Option<String>,
    pub terminal_id: Option<TerminalId>,
    pub outlet_id: Option<OutletId>,
    pub partner_reference: Option<String>,
    /// When it was made.
    pub period: Period,
}

/// Transactions, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Transaction>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT * FROM transactions
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR status = $2)
           AND ($3::uuid IS NULL OR terminal_id = $3) AND ($4::uuid IS NULL OR outlet_id = $4)
           AND ($5::text IS NULL OR partner_reference = $5)
           AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
           AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $10",
        scope.merchant(),
        filter.status,
        filter.terminal_id.map(TerminalId::as_uuid),
        filter.outlet_id.map(OutletId::as_uuid),
        filter.partner_reference,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Transaction::from).collect())
}

/// What a payment adds to its transaction.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Payment<'a> {
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
    pub accepted_at: DateTime<Utc>,
}

/// `from` → paid.
///
/// # Errors
/// The database's; `RowNotFound` when the transaction is no longer in `from`.
pub async fn mark_paid(
    conn: &mut PgConnection,
    id: TransactionId,
    from: &str,
    payment: &Payment<'_>,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "WITH paid AS (UPDATE transactions SET status = 'paid', late = $3, fee = $4, net = $5, fee_profile_id = $6, fee_version = $7,
             partner_reference = $8, rrn = $9, issuer = $10, paid_at = $11, accepted_at = $12, amount = $16, tip = $17
         WHERE id = $1 AND status = $2 AND status IN ('initiated', 'awaiting_payment', 'expired', 'failed')
         RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $13, $2, 'paid', $14, $15 FROM paid",
        id.as_uuid(),
        from,
        payment.late,
        payment.fee.to_i64(),
        payment.net.to_i64(),
        payment.fee_profile_id,
        payment.fee_version,
        payment.partner_reference,
        payment.rrn,
        payment.issuer,
        payment.paid_at,
        payment.accepted_at,
        cause.at,
        cause.cause,
        cause.callback_id.map(CallbackId::as_uuid),
        payment.amount.to_i64(),
        payment.tip.map(Rupiah::to_i64)
    )
    .execute(conn)
    .await?;
    crate::store::exactly_one(&result)
}

/// `from` → `to`, for transitions that carry no money of their own.
///
/// # Errors
/// The database's; `RowNotFound` when the transaction is no longer in `from`.
pub async fn set_status(
    conn: &mut PgConnection,
    id: TransactionId,
    from: &str,
    to: &str,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "WITH changed AS (UPDATE transactions SET status = $3 WHERE id = $1 AND status = $2 RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $4, $2, $3, $5, $6 FROM changed",
        id.as_uuid(),
        from,
        to,
        cause.at,
        cause.cause,
        cause.callback_id.map(CallbackId::as_uuid)
    )
    .execute(conn)
    .await?;
    crate::store::exactly_one(&result)
}

/// A code that a partner gave.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Code<'a> {
    pub qr_payload: &'a str,
    pub qr_reference: Option<&'a str>,
    pub tip_mode: Option<&'a str>,
    pub amount_due: Option<Rupiah>,
}

/// Shows the code that a partner gave; initiated → awaiting payment, unless it went on meanwhile.
///
/// # Errors
/// The database's; `RowNotFound` when there is no such transaction.
pub async fn show(
    conn: &mut PgConnection,
    id: TransactionId,
    code: Code<'_>,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE transactions SET qr_payload = $2, qr_reference = $3, tip_mode = $4, amount_due = $5 WHERE id = $1",
        id.as_uuid(),
        code.qr_payload,
        code.qr_reference,
        code.tip_mode,
        code.amount_due.map(Rupiah::to_i64)
    )
    .execute(&mut *conn)
    .await?;
    super::super::exactly_one(&result)?;
    sqlx::query!(
        "WITH shown AS (UPDATE transactions SET status = 'awaiting_payment' WHERE id = $1 AND status = 'initiated' RETURNING id)
         INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
         SELECT id, $2, 'initiated', 'awaiting_payment', $3, $4 FROM shown",
        id.as_uuid(),
        cause.at,
        cause.cause,
        cause.callback_id.map(CallbackId::as_uuid)
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
    #[schema(value_type = Option<domain::transaction::TransactionStatus>)]
    pub from_status: Option<String>,
    /// Where it stands from here on.
    #[schema(value_type = domain::transaction::TransactionStatus)]
    pub to_status: String,
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
    let rows = sqlx::query!(
        "SELECT at, from_status, to_status, cause, callback_id FROM transaction_events WHERE transaction_id = $1 ORDER BY id",
        id.as_uuid()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TransactionEvent {
            at: row.at,
            from_status: row.from_status,
            to_status: row.to_status,
            cause: row.cause,
            callback_id: row.callback_id.map(CallbackId::from_uuid),
        })
        .collect())
}

/// Up to `limit` transactions whose time is over.
pub async fn overdue(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<TransactionId>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM transactions WHERE status IN ('awaiting_payment', 'initiated') AND expires_at <= $1
         ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TransactionId::from_uuid).collect())
}

/// Expires up to `limit` transactions whose time is over, of these or of all, with their events.
pub async fn expire_overdue(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    only: Option<&[TransactionId]>,
    limit: i64,
) -> sqlx::Result<u64> {
    let only: Option<Vec<Uuid>> = only.map(|some| some.iter().map(|id| id.as_uuid()).collect());
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
        only.as_deref() as Option<&[Uuid]>
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
