//! What merchants see added up.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{MerchantId, OutletId};

/// One outlet's paid transactions of one day.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "sums of the columns of the same names")]
pub struct Takings {
    pub outlet_id: OutletId,
    /// By the calendar of Jakarta.
    pub day: NaiveDate,
    pub count: i64,
    pub gross: Rupiah,
    pub fee: Rupiah,
    pub net: Rupiah,
}

/// A merchant's takings in `from..to`, by outlet and day. What was reversed since is not among them.
///
/// # Errors
/// The database's.
pub async fn takings(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Vec<Takings>> {
    sqlx::query_as!(
        Takings,
        r#"SELECT outlet_id, (paid_at AT TIME ZONE 'Asia/Jakarta')::date AS "day!", count(*) AS "count!",
                  sum(amount)::bigint AS "gross!", sum(fee)::bigint AS "fee!", sum(net)::bigint AS "net!"
           FROM transactions
           WHERE merchant_id = $1 AND status = 'paid' AND paid_at >= $2 AND paid_at < $3
           GROUP BY 1, 2"#,
        merchant_id.as_uuid(),
        from,
        to
    )
    .fetch_all(conn)
    .await
}

/// An outlet's name.
#[derive(Debug, Clone)]
pub struct OutletName {
    /// Which outlet.
    pub id: OutletId,
    /// Its name.
    pub name: String,
}

/// A merchant's outlets, by name.
///
/// # Errors
/// The database's.
pub async fn outlet_names(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
) -> sqlx::Result<Vec<OutletName>> {
    sqlx::query_as!(
        OutletName,
        "SELECT id, name FROM outlets WHERE merchant_id = $1 ORDER BY name, id",
        merchant_id.as_uuid()
    )
    .fetch_all(conn)
    .await
}

/// How many boxes a merchant has, and how many of them are there.
#[derive(Debug, Clone, Copy, serde::Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Boxes {
    pub online: i64,
    pub total: i64,
}

/// Counts a merchant's boxes.
///
/// # Errors
/// The database's.
pub async fn boxes(conn: &mut PgConnection, merchant_id: MerchantId) -> sqlx::Result<Boxes> {
    sqlx::query_as!(
        Boxes,
        r#"SELECT count(*) - count(away.device_id) AS "online!", count(*) AS "total!"
           FROM bindings b LEFT JOIN device_presence away ON away.device_id = b.device_id AND NOT away.online
           WHERE b.merchant_id = $1 AND b.unbound_at IS NULL"#,
        merchant_id.as_uuid()
    )
    .fetch_one(conn)
    .await
}
