//! The daily runs.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::MerchantId;

use crate::exactly_one;

/// Elects this node the leader of the runs until the database transaction ends; `false` when another node is.
pub async fn try_lead(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('settlement_runs', 3)) AS "leads!""#
    )
    .fetch_one(conn)
    .await
}

/// Whether the run of this day is over.
pub async fn is_finished(conn: &mut PgConnection, day: NaiveDate) -> sqlx::Result<bool> {
    let finished = sqlx::query_scalar!(
        r#"SELECT finished_at IS NOT NULL AS "finished!" FROM settlement_runs WHERE business_day = $1"#,
        day
    )
    .fetch_optional(conn)
    .await?;
    Ok(finished.unwrap_or(false))
}

/// Records that a run begins, or resumes after an interruption.
pub async fn begin(
    conn: &mut PgConnection,
    day: NaiveDate,
    cutoff: DateTime<Utc>,
    node: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO settlement_runs (business_day, cutoff, node, started_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (business_day) DO UPDATE SET node = $3",
        day,
        cutoff,
        node,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts what was done since the last time.
pub async fn count(
    conn: &mut PgConnection,
    day: NaiveDate,
    settlements: i64,
    skipped: i64,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE settlement_runs SET settlements = settlements + $2, skipped = skipped + $3 WHERE business_day = $1",
        day,
        settlements,
        skipped
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Notes that a run is over.
pub async fn finish(
    conn: &mut PgConnection,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE settlement_runs SET finished_at = $2 WHERE business_day = $1",
        day,
        now
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Some merchants with an unsettled sale or refund, by id, after `after`.
pub async fn merchants(
    conn: &mut PgConnection,
    cutoff: DateTime<Utc>,
    after: Option<MerchantId>,
    limit: i64,
) -> sqlx::Result<Vec<MerchantId>> {
    let after = after.unwrap_or(MerchantId::from_uuid(Uuid::nil()));
    sqlx::query_scalar!(
        "SELECT m.id FROM merchants m
         WHERE m.id > $2 AND (EXISTS (SELECT 1 FROM payments p WHERE p.merchant_id = m.id AND p.paid_at < $1 AND p.settlement_id IS NULL)
            OR EXISTS (SELECT 1 FROM refunds r JOIN payments p USING (transaction_id)
                       WHERE r.merchant_id = m.id AND r.status = 'done' AND r.settlement_id IS NULL AND p.paid_at < $1))
         ORDER BY m.id LIMIT $3",
        cutoff,
        after as _,
        limit
    )
    .fetch_all(conn)
    .await
}
