//! Who is paid: a merchant, and what a payment costs it at a time.
//!
//! A payment needs parts of two tables and reads them in one statement, because its latency matters.

use chrono::{DateTime, Utc};
use domain::merchant::MerchantStatus;
use domain::qris::MerchantCriteria;
use serde_json::Value;
use sqlx::PgConnection;
use wire::ids::MerchantId;

/// A merchant with the version of its fee profile that holds at a time; before the first, the first.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Payee {
    pub merchant_id: MerchantId,
    pub brand_name: String,
    pub status: MerchantStatus,
    pub nmid: Option<String>,
    pub merchant_criteria: MerchantCriteria,
    pub mcc: String,
    pub fee_profile_id: String,
    pub fee_version: i32,
    /// The rates of that version, as `domain::fee` writes them.
    pub rates: Value,
}

/// Payees, `$from` of whom; `v` is the version of the fee profile.
macro_rules! query_payees {
    ($from:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Payee,
            r#"SELECT m.id AS merchant_id, m.brand_name, m.status, m.nmid, m.merchant_criteria, m.mcc, m.fee_profile_id,
                 v.version AS "fee_version!", v.rates AS "rates!" "# + $from,
            $($argument),+
        )
    };
}

/// The payee of this merchant's payments at a time.
///
/// # Errors
/// [`sqlx::Error::RowNotFound`] when there is no such merchant.
pub async fn of_merchant(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    at: DateTime<Utc>,
) -> sqlx::Result<Payee> {
    query_payees!(
        "FROM merchants m CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, $2) v WHERE m.id = $1",
        merchant_id as _,
        at
    )
    .fetch_one(conn)
    .await
}

/// The payee at a time to whom this NMID is assigned, if it is registered with this partner.
pub async fn of_nmid(
    conn: &mut PgConnection,
    partner_id: &str,
    nmid: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<Payee>> {
    query_payees!(
        "FROM merchants m CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, $3) v WHERE m.nmid = $1 AND m.qris_partner_id = $2",
        nmid,
        partner_id,
        at
    )
    .fetch_optional(conn)
    .await
}

/// The payee at a time that has this merchant PAN, if it is registered with this partner.
pub async fn of_merchant_pan(
    conn: &mut PgConnection,
    partner_id: &str,
    merchant_pan: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<Payee>> {
    query_payees!(
        "FROM merchants m CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, $3) v WHERE m.merchant_pan = $1 AND m.qris_partner_id = $2",
        merchant_pan,
        partner_id,
        at
    )
    .fetch_optional(conn)
    .await
}

/// The payee at a time that this partner calls so.
pub async fn of_partner_merchant_id(
    conn: &mut PgConnection,
    partner_id: &str,
    partner_merchant_id: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<Payee>> {
    query_payees!(
        "FROM merchants m CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, $3) v
         WHERE m.partner_merchant_id = $1 AND m.qris_partner_id = $2",
        partner_merchant_id,
        partner_id,
        at
    )
    .fetch_optional(conn)
    .await
}

/// The payees at a time that have an outlet which this partner calls so: up to two, because merchants may share the name.
pub async fn of_partner_store_id(
    conn: &mut PgConnection,
    partner_id: &str,
    partner_store_id: &str,
    at: DateTime<Utc>,
) -> sqlx::Result<Vec<Payee>> {
    query_payees!(
        "FROM outlets o JOIN merchants m ON m.id = o.merchant_id AND m.qris_partner_id = $2
         CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, $3) v WHERE o.partner_store_id = $1 LIMIT 2",
        partner_store_id,
        partner_id,
        at
    )
    .fetch_all(conn)
    .await
}
