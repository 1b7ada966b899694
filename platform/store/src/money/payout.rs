//! Payouts: the outbox of instructions to the payout partner, and the history of its answers.

use chrono::{DateTime, Utc};
use domain::payout::PayoutStatus;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{CallbackId, MerchantId, PayoutId, SettlementId};

use crate::{Page, Period, Scope, exactly_one};

/// A payout, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Payout {
    pub id: PayoutId,
    #[serde(skip)]
    pub settlement_id: SettlementId,
    #[serde(skip)]
    pub merchant_id: MerchantId,
    /// The first is 1; another follows only what failed or came back.
    pub attempt: i32,
    /// Null when people paid by hand.
    pub partner_id: Option<String>,
    pub destination: Option<String>,
    pub amount: Rupiah,
    pub status: PayoutStatus,
    pub bank_reference: Option<String>,
    /// What the partner reported, or why it was not instructed.
    pub reason: Option<String>,
    /// Why the partner is not instructed yet: `merchant_suspended` or `account_not_confirmed`. Null: it is not held.
    pub hold_reason: Option<String>,
    /// How often the partner was instructed or queried.
    pub tries: i32,
    #[serde(skip)]
    pub due_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Why a payout became what it is.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Cause<'a> {
    pub at: DateTime<Utc>,
    pub cause: &'a str,
    /// The partner's message that did it.
    pub message: Option<Message<'a>>,
}

/// A message of the partner's.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Message<'a> {
    pub callback_id: CallbackId,
    pub partner_id: &'a str,
    pub event_id: &'a str,
    pub content: &'a Value,
    /// When it happened at the bank.
    pub occurred_at: DateTime<Utc>,
}

/// A new payout.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewPayout<'a> {
    pub id: PayoutId,
    pub settlement_id: SettlementId,
    pub merchant_id: MerchantId,
    pub partner_id: Option<&'a str>,
    pub destination: Option<&'a str>,
    pub amount: Rupiah,
    pub status: PayoutStatus,
    pub bank_reference: Option<&'a str>,
    pub due_at: Option<DateTime<Utc>>,
    pub created_by: &'a str,
}

/// Inserts a payout with the next attempt number, and its first line of history.
///
/// # Errors
/// The index `payouts_one_in_force` when another of the settlement is pending, processing or paid;
/// `payouts_attempt_unique` when two are inserted at once without the settlement's lock.
pub async fn insert(
    conn: &mut PgConnection,
    new: &NewPayout<'_>,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH new AS (
             INSERT INTO payouts (id, settlement_id, merchant_id, attempt, partner_id, destination, amount, status,
                 bank_reference, due_at, created_by, created_at, updated_at)
             SELECT $1, $2, $3, coalesce(max(p.attempt), 0) + 1, $4, $5, $6, $7, $8, $9, $10, $11, $11
             FROM payouts p WHERE p.settlement_id = $2
             RETURNING id)
         INSERT INTO payout_events (payout_id, at, to_status, cause) SELECT id, $11, $7, $12 FROM new",
        new.id as _,
        new.settlement_id as _,
        new.merchant_id as _,
        new.partner_id,
        new.destination,
        new.amount as _,
        new.status as _,
        new.bank_reference,
        new.due_at,
        new.created_by,
        cause.at,
        cause.cause,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The payouts of these settlements, in the order in which they were made.
pub async fn of_settlements(
    conn: &mut PgConnection,
    settlements: &[SettlementId],
) -> sqlx::Result<Vec<Payout>> {
    sqlx::query_as!(
        Payout,
        "SELECT p.*, hold_reason(p) FROM payouts p WHERE p.settlement_id = ANY($1) ORDER BY p.settlement_id, p.attempt",
        settlements as _
    )
    .fetch_all(conn)
    .await
}

/// Which payouts a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of this status.
    pub status: Option<PayoutStatus>,
    /// When it was made.
    pub period: Period,
}

/// Payouts, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: Filter,
    page: Page,
) -> sqlx::Result<Vec<Payout>> {
    sqlx::query_as!(
        Payout,
        "SELECT p.*, hold_reason(p) FROM payouts p
         WHERE ($1::uuid IS NULL OR p.merchant_id = $1) AND ($2::text IS NULL OR p.status = $2)
           AND ($3::timestamptz IS NULL OR p.created_at >= $3) AND ($4::timestamptz IS NULL OR p.created_at < $4)
           AND ($5::timestamptz IS NULL OR (p.created_at, p.id) < ($5, $6::uuid))
         ORDER BY p.created_at DESC, p.id DESC LIMIT $7",
        scope.merchant(),
        filter.status as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// The last payout of each settlement that failed or came back and is not paid since, newest first. Index:
/// `settlements_not_paid_out`.
pub async fn unresolved(
    conn: &mut PgConnection,
    scope: Scope,
    filter: Filter,
    page: Page,
) -> sqlx::Result<Vec<Payout>> {
    sqlx::query_as!(
        Payout,
        "SELECT p.*, hold_reason(p) FROM settlements s
         JOIN payouts p ON p.settlement_id = s.id
              AND p.attempt = (SELECT max(last.attempt) FROM payouts last WHERE last.settlement_id = s.id)
         WHERE s.status IN ('failed', 'returned')
           AND ($1::uuid IS NULL OR p.merchant_id = $1) AND ($2::text IS NULL OR p.status = $2)
           AND ($3::timestamptz IS NULL OR p.created_at >= $3) AND ($4::timestamptz IS NULL OR p.created_at < $4)
           AND ($5::timestamptz IS NULL OR (p.created_at, p.id) < ($5, $6::uuid))
         ORDER BY p.created_at DESC, p.id DESC LIMIT $7",
        scope.merchant(),
        filter.status as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// The account at which a merchant was last paid.
pub async fn last_account(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar!(
        "SELECT destination FROM payouts WHERE merchant_id = $1 AND status = 'paid' AND destination IS NOT NULL
         ORDER BY updated_at DESC LIMIT 1",
        merchant_id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// One payout.
pub async fn find(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<Option<Payout>> {
    sqlx::query_as!(
        Payout,
        "SELECT p.*, hold_reason(p) FROM payouts p WHERE p.id = $1",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Whether a merchant was paid at this account before, or two people have confirmed it.
pub async fn is_known_account(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    destination: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM payouts WHERE merchant_id = $1 AND destination = $2 AND status = 'paid')
               OR EXISTS (SELECT 1 FROM approvals WHERE entity = $3 AND kind = 'payout.account' AND status = 'approved'
                          AND request -> 'payout_account' ->> 'destination' = $2) AS "known!""#,
        merchant_id as _,
        destination,
        merchant_id.to_string()
    )
    .fetch_one(conn)
    .await
}

/// Payouts that wait until their account is confirmed: no partner was instructed, and nothing is due.
pub async fn waiting(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    destination: &str,
) -> sqlx::Result<Vec<PayoutId>> {
    sqlx::query_scalar!(
        "SELECT id FROM payouts WHERE merchant_id = $1 AND destination = $2 AND status = 'pending' AND due_at IS NULL ORDER BY id",
        merchant_id as _,
        destination
    )
    .fetch_all(conn)
    .await
}

/// Makes payouts due that wait until their account is confirmed.
pub async fn release_waiting(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    destination: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE payouts SET due_at = $3, reason = NULL, updated_at = $3
         WHERE merchant_id = $1 AND destination = $2 AND status = 'pending' AND due_at IS NULL",
        merchant_id as _,
        destination,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Payouts whose next call to the partner is due, the longest due first. Pending ones are left out while their merchant is
/// suspended.
pub async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<PayoutId>> {
    sqlx::query_scalar!(
        "SELECT p.id FROM payouts p JOIN merchants m ON m.id = p.merchant_id
         WHERE p.due_at <= $1 AND NOT (p.status = 'pending' AND m.status = 'suspended') ORDER BY p.due_at LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Notes that the node of this incarnation calls the partner about a payout: it is due at once when that node is found dead.
pub async fn take(conn: &mut PgConnection, id: PayoutId, incarnation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO payout_takers (payout_id, taken_by) VALUES ($1, $2)
         ON CONFLICT (payout_id) DO UPDATE SET taken_by = excluded.taken_by",
        id as _,
        incarnation
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that the node of this incarnation has booked what the partner answered.
pub async fn let_go(conn: &mut PgConnection, id: PayoutId, incarnation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM payout_takers WHERE payout_id = $1 AND taken_by = $2",
        id as _,
        incarnation
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes a try, why the last one ended as it did, and when the next one is.
pub async fn schedule(
    conn: &mut PgConnection,
    id: PayoutId,
    tries: i32,
    reason: Option<&str>,
    due_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE payouts SET tries = $2, reason = $3, due_at = $4 WHERE id = $1",
        id as _,
        tries,
        reason,
        due_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// A step of a payout.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Step<'a> {
    pub from: PayoutStatus,
    pub to: PayoutStatus,
    /// Kept as it was when absent.
    pub bank_reference: Option<&'a str>,
    pub reason: Option<&'a str>,
    pub due_at: Option<DateTime<Utc>>,
}

/// Takes a step, with its line of history.
///
/// # Errors
/// `RowNotFound` when the payout is no longer in `from`; `payouts_one_in_force`;
/// `payout_events_partner_event_unique`.
pub async fn set_status(
    conn: &mut PgConnection,
    id: PayoutId,
    step: Step<'_>,
    cause: Cause<'_>,
) -> sqlx::Result<()> {
    let message = cause.message;
    let result = sqlx::query!(
        "WITH changed AS (
             UPDATE payouts SET status = $3, bank_reference = coalesce($4, bank_reference), reason = $5, due_at = $6, updated_at = $7
             WHERE id = $1 AND status = $2 RETURNING id)
         INSERT INTO payout_events (payout_id, at, from_status, to_status, cause, callback_id, partner_id, partner_event_id, said, occurred_at)
         SELECT id, $7, $2, $3, $8, $9, $10, $11, $12, $13 FROM changed",
        id as _,
        step.from as _,
        step.to as _,
        step.bank_reference,
        step.reason,
        step.due_at,
        cause.at,
        cause.cause,
        message.map(|message| message.callback_id) as _,
        message.map(|message| message.partner_id),
        message.map(|message| message.event_id),
        message.map(|message| message.content),
        message.map(|message| message.occurred_at),
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}
