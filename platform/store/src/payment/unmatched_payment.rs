//! Money that came and could not be attributed.

use chrono::{DateTime, Utc};
use domain::attribution::{Attempt, Lesson};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{CallbackId, TransactionId, UnmatchedPaymentId};

use crate::{Page, Period, exactly_one};

/// Money on its way into the list.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewUnmatched<'a> {
    pub id: UnmatchedPaymentId,
    pub callback_id: CallbackId,
    pub partner_id: &'a str,
    pub partner_reference: &'a str,
    pub transaction_id: Option<TransactionId>,
    pub nmid: Option<&'a str>,
    pub merchant_pan: Option<&'a str>,
    pub terminal_label: Option<&'a str>,
    pub terminal_id: Option<&'a str>,
    pub partner_merchant_id: Option<&'a str>,
    pub partner_store_id: Option<&'a str>,
    /// What was looked for in vain.
    pub tried: &'a [Attempt],
    pub amount: Option<Rupiah>,
    /// The amount as it was written, when it is beyond 64 bits.
    pub amount_text: Option<&'a str>,
    pub paid_at: DateTime<Utc>,
    pub rrn: Option<&'a str>,
    pub issuer: Option<&'a str>,
    pub reason: &'a str,
    pub created_at: DateTime<Utc>,
}

/// Unmatched money, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnmatchedPayment {
    /// Its id.
    pub id: UnmatchedPaymentId,
    /// `open`, `assigned` or `reversed`.
    pub status: String,
    /// Who told us of it.
    pub partner_id: String,
    /// The partner's name for the money.
    pub partner_reference: String,
    /// How much; null when it is beyond 64 bits.
    pub amount: Option<Rupiah>,
    /// The amount as the partner wrote it, when it is beyond 64 bits.
    pub amount_text: Option<String>,
    /// When the customer paid.
    pub paid_at: DateTime<Utc>,
    /// The merchant that the partner named.
    pub nmid: Option<String>,
    /// The merchant's PAN that the partner named.
    pub merchant_pan: Option<String>,
    /// The terminal that the partner named, by the label of its code.
    pub terminal_label: Option<String>,
    /// The terminal that the partner named, by another name.
    pub terminal_id: Option<String>,
    /// The merchant that the partner named, by its own name for it.
    pub partner_merchant_id: Option<String>,
    /// The outlet that the partner named, by its own name for it.
    pub partner_store_id: Option<String>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
    /// Why it was not booked: `no_such_merchant`, `merchant_not_approved`, `merchant_suspended`, `no_such_terminal`, `amount_beyond_max`,
    /// `paid_already` or `after_reversal`.
    pub reason: String,
    /// What was looked for to attribute it, and what was found.
    #[schema(value_type = Vec<Attempt>)]
    pub tried: Json<Vec<Attempt>>,
    /// What became of the partner's names in an assignment with `remember`; null without.
    #[schema(value_type = Option<Vec<Lesson>>)]
    pub remembered: Option<Json<Vec<Lesson>>>,
    /// The transaction that the partner named, which was paid by other money.
    pub claimed_transaction_id: Option<TransactionId>,
    /// The transaction that it became.
    pub transaction_id: Option<TransactionId>,
    /// When we were told of it.
    pub created_at: DateTime<Utc>,
    /// When it was assigned, or reversed.
    pub closed_at: Option<DateTime<Utc>>,
    /// By whom.
    pub closed_by: Option<String>,
}

/// Keeps money that could not be attributed; once for each reference.
pub async fn insert(conn: &mut PgConnection, unmatched: &NewUnmatched<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO unmatched_payments (id, callback_id, partner_id, partner_reference, transaction_id, nmid, terminal_label,
             amount, paid_at, rrn, issuer, reason, created_at, amount_text, merchant_pan, terminal_id, partner_merchant_id, partner_store_id, tried)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT ON CONSTRAINT unmatched_payments_reference_unique DO NOTHING",
        unmatched.id as _,
        unmatched.callback_id as _,
        unmatched.partner_id,
        unmatched.partner_reference,
        unmatched.transaction_id as _,
        unmatched.nmid,
        unmatched.terminal_label,
        unmatched.amount as _,
        unmatched.paid_at,
        unmatched.rrn,
        unmatched.issuer,
        unmatched.reason,
        unmatched.created_at,
        unmatched.amount_text,
        unmatched.merchant_pan,
        unmatched.terminal_id,
        unmatched.partner_merchant_id,
        unmatched.partner_store_id,
        Json(unmatched.tried) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One of them.
pub async fn find(
    conn: &mut PgConnection,
    id: UnmatchedPaymentId,
) -> sqlx::Result<Option<UnmatchedPayment>> {
    sqlx::query_as!(
        UnmatchedPayment,
        r#"SELECT id, status, partner_id, partner_reference, amount, amount_text, paid_at, nmid, merchant_pan, terminal_label,
             terminal_id, partner_merchant_id, partner_store_id, rrn, issuer, reason,
             tried AS "tried: Json<Vec<Attempt>>", remembered AS "remembered: Json<Vec<Lesson>>",
             transaction_id AS claimed_transaction_id,
             assigned_to AS transaction_id, created_at, closed_at, closed_by
         FROM unmatched_payments WHERE id = $1"#,
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Which unmatched money a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `open`, `assigned` or `reversed`.
    pub status: Option<String>,
    /// Who told us of it.
    pub partner_id: Option<String>,
    /// The partner's reference, the RRN, or the NMID or PAN that the partner named.
    pub q: Option<String>,
    /// When it came.
    pub period: Period,
}

/// Them, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<UnmatchedPayment>> {
    sqlx::query_as!(
        UnmatchedPayment,
        r#"SELECT id, status, partner_id, partner_reference, amount, amount_text, paid_at, nmid, merchant_pan, terminal_label,
             terminal_id, partner_merchant_id, partner_store_id, rrn, issuer, reason,
             tried AS "tried: Json<Vec<Attempt>>", remembered AS "remembered: Json<Vec<Lesson>>",
             transaction_id AS claimed_transaction_id,
             assigned_to AS transaction_id, created_at, closed_at, closed_by
         FROM unmatched_payments
         WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR partner_id = $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3) AND ($4::timestamptz IS NULL OR created_at < $4)
           AND ($5::text IS NULL OR partner_reference = $5 OR rrn = $5 OR nmid = $5 OR merchant_pan = $5)
           AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $8"#,
        filter.status,
        filter.partner_id,
        filter.period.from,
        filter.period.to,
        filter.q,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// What open money became, and by whom.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Closing<'a> {
    pub assigned_to: Option<TransactionId>,
    pub closed_at: DateTime<Utc>,
    pub closed_by: &'a str,
}

/// open → assigned (with a transaction) or reversed (without one).
///
/// # Errors
/// `RowNotFound` when it is no longer open.
pub async fn close(
    conn: &mut PgConnection,
    id: UnmatchedPaymentId,
    closing: Closing<'_>,
) -> sqlx::Result<()> {
    let status = if closing.assigned_to.is_some() {
        "assigned"
    } else {
        "reversed"
    };
    let result = sqlx::query!(
        "UPDATE unmatched_payments SET status = $2, assigned_to = $3, closed_at = $4, closed_by = $5
         WHERE id = $1 AND status = 'open'",
        id as _,
        status,
        closing.assigned_to as _,
        closing.closed_at,
        closing.closed_by
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Notes what an assignment taught.
///
/// # Errors
/// `RowNotFound` when there is no such money.
pub async fn set_remembered(
    conn: &mut PgConnection,
    id: UnmatchedPaymentId,
    lessons: &[Lesson],
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE unmatched_payments SET remembered = $2 WHERE id = $1",
        id as _,
        Json(lessons) as _
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}
