//! What merchants see added up.

use chrono::{DateTime, Utc};
use domain::total::Total;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{MerchantId, OutletId};

use crate::total;

/// What an outlet took.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "counts, and sums of the columns of the same names"
)]
pub struct Takings {
    pub outlet_id: OutletId,
    pub name: String,
    pub today_count: i64,
    pub today_gross: Total,
    pub today_fee: Total,
    pub yesterday_count: i64,
    pub yesterday_gross: Total,
    pub yesterday_fee: Total,
    pub all_count: i64,
    pub all_gross: Total,
    pub all_fee: Total,
}

/// The beginnings and the end of the times that takings are added up for.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each begins where the one before ends")]
pub struct Times {
    pub from: DateTime<Utc>,
    pub yesterday: DateTime<Utc>,
    pub today: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// A merchant's outlets, by name, with their takings in `from..to`, today's and yesterday's among them. What was taken back
/// since, whole or in part, is not in them.
pub async fn takings(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    times: Times,
) -> sqlx::Result<Vec<Takings>> {
    let rows = sqlx::query!(
        r#"SELECT o.id AS outlet_id, o.name,
                  coalesce(t.today_count, 0) AS "today_count!", coalesce(t.today_gross, 0)::text AS "today_gross!",
                  coalesce(t.today_fee, 0)::text AS "today_fee!",
                  coalesce(t.yesterday_count, 0) AS "yesterday_count!",
                  coalesce(t.yesterday_gross, 0)::text AS "yesterday_gross!",
                  coalesce(t.yesterday_fee, 0)::text AS "yesterday_fee!",
                  coalesce(t.all_count, 0) AS "all_count!", coalesce(t.all_gross, 0)::text AS "all_gross!",
                  coalesce(t.all_fee, 0)::text AS "all_fee!"
           FROM outlets o
           LEFT JOIN (
               SELECT outlet_id,
                      count(*) FILTER (WHERE paid_at >= $4) AS today_count,
                      sum(amount - refunded) FILTER (WHERE paid_at >= $4) AS today_gross,
                      sum(fee - fee_refunded) FILTER (WHERE paid_at >= $4) AS today_fee,
                      count(*) FILTER (WHERE paid_at >= $3 AND paid_at < $4) AS yesterday_count,
                      sum(amount - refunded) FILTER (WHERE paid_at >= $3 AND paid_at < $4) AS yesterday_gross,
                      sum(fee - fee_refunded) FILTER (WHERE paid_at >= $3 AND paid_at < $4) AS yesterday_fee,
                      count(*) AS all_count, sum(amount - refunded) AS all_gross, sum(fee - fee_refunded) AS all_fee
               FROM payments
               WHERE merchant_id = $1 AND reversed_at IS NULL AND paid_at >= $2 AND paid_at < $5
               GROUP BY outlet_id) t ON t.outlet_id = o.id
           WHERE o.merchant_id = $1
           ORDER BY o.name, o.id"#,
        merchant_id as _,
        times.from,
        times.yesterday,
        times.today,
        times.to
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Takings {
                outlet_id: row.outlet_id,
                name: row.name,
                today_count: row.today_count,
                today_gross: total(&row.today_gross)?,
                today_fee: total(&row.today_fee)?,
                yesterday_count: row.yesterday_count,
                yesterday_gross: total(&row.yesterday_gross)?,
                yesterday_fee: total(&row.yesterday_fee)?,
                all_count: row.all_count,
                all_gross: total(&row.all_gross)?,
                all_fee: total(&row.all_fee)?,
            })
        })
        .collect()
}

/// How many boxes a merchant has, and how many of them are there.
#[derive(Debug, Clone, Copy, serde::Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Boxes {
    pub online: i64,
    pub total: i64,
}

/// Counts a merchant's boxes.
pub async fn boxes(conn: &mut PgConnection, merchant_id: MerchantId) -> sqlx::Result<Boxes> {
    sqlx::query_as!(
        Boxes,
        r#"SELECT count(*) - count(away.device_id) AS "online!", count(*) AS "total!"
           FROM bindings b LEFT JOIN device_presence away ON away.device_id = b.device_id AND NOT away.online
           WHERE b.merchant_id = $1 AND b.unbound_at IS NULL"#,
        merchant_id as _
    )
    .fetch_one(conn)
    .await
}
