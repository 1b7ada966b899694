//! What people at boxes ask for by a button, and what the answers need.

use chrono::{DateTime, NaiveDate, Utc};
use domain::device_request::DeviceRequestKind;
use domain::total::Total;
use sqlx::PgConnection;
use wire::ids::{BindingId, DeviceId, TransactionId};

use crate::total;

/// A box's last request of a kind.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct DeviceRequest {
    pub request_id: String,
    pub requested_at: DateTime<Utc>,
}

/// The last request of this kind by a box, its row locked until the transaction ends; none when this is the first, whose row
/// is then written.
pub async fn lock(
    conn: &mut PgConnection,
    device_id: DeviceId,
    kind: DeviceRequestKind,
    request_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DeviceRequest>> {
    let inserted = sqlx::query!(
        "INSERT INTO device_requests (device_id, kind, request_id, requested_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        device_id as _,
        kind as _,
        request_id,
        now
    )
    .execute(&mut *conn)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(None);
    }
    let last = sqlx::query_as!(
        DeviceRequest,
        "SELECT request_id, requested_at FROM device_requests WHERE device_id = $1 AND kind = $2 FOR UPDATE",
        device_id as _,
        kind as _
    )
    .fetch_one(conn)
    .await?;
    Ok(Some(last))
}

/// Notes a request as the last one. The caller holds its lock.
pub async fn save(
    conn: &mut PgConnection,
    device_id: DeviceId,
    kind: DeviceRequestKind,
    request_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE device_requests SET request_id = $3, requested_at = $4 WHERE device_id = $1 AND kind = $2",
        device_id as _,
        kind as _,
        request_id,
        now
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// The last payment that a box was to announce in its present binding: one of today, by the outlet's zone, that was not
/// taken back.
pub async fn last_payment(
    conn: &mut PgConnection,
    device_id: DeviceId,
    binding_id: BindingId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<TransactionId>> {
    // The index notifications_by_device gives the newest first, and ends with the day.
    sqlx::query_scalar!(
        "WITH today AS (
             SELECT date_trunc('day', $3::timestamptz, o.timezone) AS began
             FROM bindings b JOIN outlets o ON o.id = b.outlet_id WHERE b.id = $2)
         SELECT n.transaction_id FROM notifications n JOIN transactions t ON t.id = n.transaction_id CROSS JOIN today
         WHERE n.device_id = $1 AND n.binding_id = $2 AND NOT n.replay AND t.status = 'paid'
           AND n.created_at >= today.began AND n.paid_at >= today.began
         ORDER BY n.created_at DESC, n.event_id DESC LIMIT 1",
        device_id as _,
        binding_id as _,
        now
    )
    .fetch_optional(conn)
    .await
}

/// What was paid at a terminal on one day.
#[derive(Debug, Clone)]
pub struct DayTotal {
    /// The day, by the outlet's zone.
    pub date: NaiveDate,
    /// How many payments.
    pub count: i64,
    /// What the ledger has of them: refunds are taken off.
    pub amount: Total,
}

/// What was paid today at the terminal of a binding, by the outlet's zone.
pub async fn day_total(
    conn: &mut PgConnection,
    binding_id: BindingId,
    now: DateTime<Utc>,
) -> sqlx::Result<DayTotal> {
    // The day's payments are found by payments_by_merchant, their postings by postings_once.
    let row = sqlx::query!(
        r#"WITH place AS (
               SELECT b.merchant_id, b.outlet_id, b.terminal_id, date_trunc('day', $2::timestamptz, o.timezone) AS began,
                   ($2::timestamptz AT TIME ZONE o.timezone)::date AS date
               FROM bindings b JOIN outlets o ON o.id = b.outlet_id WHERE b.id = $1),
             -- Materialized, so that the day's payments are read and not all transactions of the terminal.
             of_outlet AS MATERIALIZED (
               SELECT p.transaction_id, place.terminal_id FROM place JOIN payments p ON p.merchant_id = place.merchant_id
                   AND p.paid_at >= place.began AND p.outlet_id = place.outlet_id AND p.reversed_at IS NULL),
             paid AS (
               SELECT p.transaction_id FROM of_outlet p JOIN transactions t ON t.id = p.transaction_id AND t.terminal_id = p.terminal_id)
           SELECT place.date AS "date!", (SELECT count(*) FROM paid) AS "count!",
               coalesce((SELECT sum(l.acquirer_held) FROM paid JOIN postings l USING (transaction_id)), 0)::text AS "amount!"
           FROM place"#,
        binding_id as _,
        now
    )
    .fetch_one(conn)
    .await?;
    Ok(DayTotal {
        date: row.date,
        count: row.count,
        amount: total(&row.amount)?,
    })
}
