//! Settlements: what was claimed for a payout, and of which transactions.

use chrono::{DateTime, Utc};
use domain::merchant::PayoutMode;
use domain::settlement::SettlementStatus;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{MerchantId, SettlementId};

use crate::{Page, Period, Scope, exactly_one};

/// A settlement, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Settlement {
    pub id: SettlementId,
    pub merchant_id: MerchantId,
    pub status: SettlementStatus,
    pub payout_mode: PayoutMode,
    pub destination: Option<String>,
    pub cutoff: DateTime<Utc>,
    pub gross: Rupiah,
    pub fee: Rupiah,
    pub refunds: Rupiah,
    pub net: Rupiah,
    pub transaction_count: i64,
    pub bank_reference: Option<String>,
    /// What the payout partner reported, or why it was not instructed.
    pub status_reason: Option<String>,
    /// Why its payout is not sent yet: `merchant_suspended` or `account_not_confirmed`. Null: it is not held.
    pub hold_reason: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What a settlement is made from.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Claim<'a> {
    pub id: SettlementId,
    pub merchant_id: MerchantId,
    pub payout_mode: PayoutMode,
    pub destination: Option<&'a str>,
    pub cutoff: DateTime<Utc>,
    pub created_by: &'a str,
    pub created_at: DateTime<Utc>,
}

/// Merchants with an unsettled sale or refund, in the order in which they are locked.
pub async fn merchants_with_unsettled(
    conn: &mut PgConnection,
    cutoff: DateTime<Utc>,
) -> sqlx::Result<Vec<MerchantId>> {
    sqlx::query_scalar!(
        "SELECT m.id FROM merchants m
         WHERE EXISTS (SELECT 1 FROM payments p WHERE p.merchant_id = m.id AND p.paid_at < $1 AND p.settlement_id IS NULL)
            OR EXISTS (SELECT 1 FROM refunds r JOIN payments p USING (transaction_id)
                       WHERE r.merchant_id = m.id AND r.status = 'done' AND r.settlement_id IS NULL AND p.paid_at < $1)
         ORDER BY m.id",
        cutoff
    )
    .fetch_all(conn)
    .await
}

/// Makes a merchant's settlement of everything that was paid before the cutoff and is in none yet: sales, and what was taken
/// back of them. One statement finds, locks, adds up and claims, so that what is added up is what is claimed.
/// The caller holds the merchant's lock. `None` and no effect when there is nothing, or nothing is left after refunds:
/// that is carried to a later run.
pub async fn claim(
    conn: &mut PgConnection,
    claim: &Claim<'_>,
) -> sqlx::Result<Option<SettlementId>> {
    sqlx::query_scalar!(
        r#"WITH sales AS (
             SELECT p.transaction_id AS id, 0::smallint AS number, p.amount, p.fee, p.net FROM payments p
             WHERE p.merchant_id = $2 AND p.paid_at < $5 AND p.settlement_id IS NULL
             ORDER BY p.transaction_id FOR NO KEY UPDATE OF p),
         refunded AS (
             SELECT r.transaction_id AS id, r.number, r.amount, r.fee, r.net
             FROM refunds r JOIN payments p USING (transaction_id)
             WHERE r.merchant_id = $2 AND r.status = 'done' AND r.settlement_id IS NULL AND p.paid_at < $5
             ORDER BY r.transaction_id, r.number FOR NO KEY UPDATE OF r),
         lines AS (
             SELECT 'sale' AS kind, * FROM sales
             UNION ALL
             SELECT 'refund', * FROM refunded),
         totals AS (
             SELECT coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0)::bigint AS gross,
                    coalesce(sum(fee) FILTER (WHERE kind = 'sale'), 0)::bigint AS fee,
                    coalesce(sum(net) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunds,
                    count(DISTINCT id) AS transaction_count
             FROM lines),
         settlement AS (
             INSERT INTO settlements (id, merchant_id, status, payout_mode, destination, cutoff, gross, fee, refunds, net,
                 transaction_count, created_by, created_at, updated_at)
             SELECT $1, $2, 'pending', $3, $4, $5, gross, fee, refunds, gross - fee - refunds, transaction_count, $6, $7, $7
             FROM totals WHERE gross - fee - refunds > 0
             RETURNING id),
         items AS (
             INSERT INTO settlement_items (transaction_id, kind, refund_number, settlement_id, amount, fee, net)
             SELECT l.id, l.kind, l.number, s.id, l.amount, l.fee, l.net FROM lines l, settlement s),
         claimed AS (
             UPDATE payments p SET settlement_id = s.id FROM sales l, settlement s WHERE p.transaction_id = l.id),
         deducted AS (
             UPDATE refunds r SET settlement_id = s.id FROM refunded l, settlement s
             WHERE r.transaction_id = l.id AND r.number = l.number)
         SELECT id AS "id!" FROM settlement"#,
        claim.id as _,
        claim.merchant_id as _,
        claim.payout_mode as _,
        claim.destination,
        claim.cutoff,
        claim.created_by,
        claim.created_at
    )
    .fetch_optional(conn)
    .await
}

/// One settlement.
pub async fn find(
    conn: &mut PgConnection,
    scope: Scope,
    id: SettlementId,
) -> sqlx::Result<Option<Settlement>> {
    sqlx::query_as!(
        Settlement,
        "SELECT s.*, hold_reason(s) FROM settlements s WHERE s.id = $1 AND ($2::uuid IS NULL OR s.merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One settlement, kept from every other step until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: SettlementId) -> sqlx::Result<Option<Settlement>> {
    sqlx::query_as!(
        Settlement,
        "SELECT s.*, hold_reason(s) FROM settlements s WHERE s.id = $1 FOR NO KEY UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// A settlement's status and what it says of its newest payout.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Shown<'a> {
    pub status: SettlementStatus,
    pub bank_reference: Option<&'a str>,
    pub status_reason: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// Sets the status of a settlement after a step of its payout. The caller holds the settlement's lock.
pub async fn show(conn: &mut PgConnection, id: SettlementId, shown: Shown<'_>) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE settlements SET status = $2, bank_reference = $3, status_reason = $4, updated_at = $5
         WHERE id = $1",
        id as _,
        shown.status as _,
        shown.bank_reference,
        shown.status_reason,
        shown.at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Names another account for the next payout. The caller holds the settlement's lock.
pub async fn redirect(
    conn: &mut PgConnection,
    id: SettlementId,
    destination: &str,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE settlements SET destination = $2 WHERE id = $1",
        id as _,
        destination
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Some settlements that are to be paid out by a partner and were made when there was none, in the order of their ids,
/// after one of them.
pub async fn without_payout(
    conn: &mut PgConnection,
    after: Option<SettlementId>,
    limit: i64,
) -> sqlx::Result<Vec<(SettlementId, MerchantId)>> {
    let rows = sqlx::query!(
        "SELECT s.id, s.merchant_id FROM settlements s
         WHERE s.status = 'pending' AND s.payout_mode = 'merchant_direct' AND ($1::uuid IS NULL OR s.id > $1)
           AND NOT EXISTS (SELECT 1 FROM payouts p WHERE p.settlement_id = s.id)
         ORDER BY s.id LIMIT $2",
        after as _,
        limit
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter();
    Ok(found.map(|row| (row.id, row.merchant_id)).collect())
}

/// Why any payout to this merchant is held; `None` when none is.
pub async fn hold_reason_of(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"SELECT hold_reason(p) AS "reason!" FROM payouts p
            WHERE p.merchant_id = $1 AND p.status = 'pending' AND hold_reason(p) IS NOT NULL
           UNION ALL
           SELECT hold_reason(s) FROM settlements s
            WHERE s.merchant_id = $1 AND s.status = 'pending' AND hold_reason(s) IS NOT NULL
           LIMIT 1"#,
        merchant_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Which settlements a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those with this status.
    pub status: Option<SettlementStatus>,
    /// The bank's name for the transfer.
    pub bank_reference: Option<String>,
    /// When it was made.
    pub period: Period,
}

/// Settlements, newest first. Index of a search: `settlements_by_bank_reference`.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Settlement>> {
    sqlx::query_as!(
        Settlement,
        "SELECT s.*, hold_reason(s) FROM settlements s
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR status = $2)
           AND ($3::timestamptz IS NULL OR created_at >= $3) AND ($4::timestamptz IS NULL OR created_at < $4)
           AND ($5::text IS NULL OR bank_reference = $5)
           AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $8",
        scope.merchant(),
        filter.status as _,
        filter.period.from,
        filter.period.to,
        filter.bank_reference,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}
