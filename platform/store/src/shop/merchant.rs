//! Merchants.

use chrono::{DateTime, Utc};
use domain::merchant::{MerchantStatus, PayoutMode, SettlementAccountType};
use domain::qris::MerchantCriteria;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::MerchantId;

use crate::fleet::device_view::contains;
use crate::{Page, Period, Scope};

/// A merchant, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Merchant {
    pub id: MerchantId,
    pub merchant_code: String,
    pub legal_name: String,
    pub brand_name: String,
    pub status: MerchantStatus,
    pub status_reason: Option<String>,
    pub payout_mode: PayoutMode,
    pub settlement_account_reference: Option<String>,
    pub settlement_account_type: Option<SettlementAccountType>,
    pub payout_account_reference: Option<String>,
    pub fee_profile_id: String,
    pub nmid: Option<String>,
    pub merchant_pan: Option<String>,
    pub qris_partner_id: Option<String>,
    /// The name of that partner for it.
    pub partner_merchant_id: Option<String>,
    pub merchant_criteria: MerchantCriteria,
    pub mcc: String,
    pub city: String,
    pub postal_code: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub contact: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Stores a new merchant.
///
/// # Errors
/// `merchants_code_unique`, `merchants_nmid_unique`, `merchants_pan_unique`, `merchants_partner_merchant_id_unique`,
/// `merchants_fee_profile`.
pub async fn insert(conn: &mut PgConnection, merchant: &Merchant) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO merchants (id, merchant_code, legal_name, brand_name, status, status_reason, payout_mode,
             settlement_account_reference, settlement_account_type, payout_account_reference, fee_profile_id,
             nmid, merchant_pan, merchant_criteria, mcc, city, postal_code, contact, created_at, updated_at, qris_partner_id,
             partner_merchant_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
        merchant.id as _,
        merchant.merchant_code,
        merchant.legal_name,
        merchant.brand_name,
        merchant.status as _,
        merchant.status_reason,
        merchant.payout_mode as _,
        merchant.settlement_account_reference,
        merchant.settlement_account_type as _,
        merchant.payout_account_reference,
        merchant.fee_profile_id,
        merchant.nmid,
        merchant.merchant_pan,
        merchant.merchant_criteria as _,
        merchant.mcc,
        merchant.city,
        merchant.postal_code,
        merchant.contact,
        merchant.created_at,
        merchant.updated_at,
        merchant.qris_partner_id,
        merchant.partner_merchant_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One merchant.
pub async fn find(
    conn: &mut PgConnection,
    scope: Scope,
    id: MerchantId,
) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE id = $1 AND ($2::uuid IS NULL OR id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One merchant, locked until the transaction ends, also against rows that refer to it: for a change of its NMID or PAN,
/// which are keys. The holder must not lock anything that comes before merchants in the lock order, or that payments lock.
pub async fn lock_with_keys(
    conn: &mut PgConnection,
    id: MerchantId,
) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE id = $1 FOR UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// One merchant, locked until the transaction ends, also against a second settlement. Rows that refer to it (payments,
/// ledger lines) are written meanwhile.
pub async fn lock(conn: &mut PgConnection, id: MerchantId) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE id = $1 FOR NO KEY UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// One merchant, kept from changes until the transaction ends. Taken before the locks of its settlements.
pub async fn lock_for_payout(
    conn: &mut PgConnection,
    id: MerchantId,
) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE id = $1 FOR SHARE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Whether a merchant is suspended.
pub async fn is_suspended(conn: &mut PgConnection, id: MerchantId) -> sqlx::Result<bool> {
    let suspended = sqlx::query_scalar!(
        r#"SELECT status = 'suspended' AS "suspended!" FROM merchants WHERE id = $1"#,
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(suspended.unwrap_or(false))
}

/// The merchant to whom this NMID is assigned, if it is registered with this partner.
pub async fn find_by_nmid(
    conn: &mut PgConnection,
    partner_id: &str,
    nmid: &str,
) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE nmid = $1 AND qris_partner_id = $2",
        nmid,
        partner_id
    )
    .fetch_optional(conn)
    .await
}

/// Whose an NMID or a merchant PAN is, whichever partner the merchant is registered with.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Owner {
    pub merchant_id: MerchantId,
    pub status: MerchantStatus,
    pub qris_partner_id: Option<String>,
    pub nmid: Option<String>,
    pub merchant_pan: Option<String>,
}

/// The owners of an NMID and of a merchant PAN: up to two.
pub async fn owners(
    conn: &mut PgConnection,
    nmid: Option<&str>,
    merchant_pan: Option<&str>,
) -> sqlx::Result<Vec<Owner>> {
    sqlx::query_as!(
        Owner,
        "SELECT id AS merchant_id, status, qris_partner_id, nmid, merchant_pan FROM merchants WHERE nmid = $1 OR merchant_pan = $2",
        nmid,
        merchant_pan
    )
    .fetch_all(conn)
    .await
}

/// The merchant with this code.
pub async fn find_by_code(
    conn: &mut PgConnection,
    merchant_code: &str,
) -> sqlx::Result<Option<Merchant>> {
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants WHERE merchant_code = $1",
        merchant_code
    )
    .fetch_optional(conn)
    .await
}

/// Which merchants a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those with this status.
    pub status: Option<MerchantStatus>,
    /// A part of a name; or the whole id, code, NMID or PAN.
    pub q: Option<String>,
    /// When it was registered.
    pub period: Period,
}

/// Merchants, newest first. Index of a search: `merchants_by_part_of_name`.
pub async fn list(
    conn: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Merchant>> {
    let q = filter.q.as_deref();
    sqlx::query_as!(
        Merchant,
        "SELECT * FROM merchants
         WHERE ($1::text IS NULL OR status = $1)
           AND ($2::text IS NULL OR lower(brand_name || ' ' || legal_name) LIKE $2
                OR merchant_code = $3 OR nmid = $3 OR merchant_pan = $3 OR id = $4)
           AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
           AND ($7::timestamptz IS NULL OR (created_at, id) < ($7, $8::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $9",
        filter.status as _,
        q.map(contains),
        q,
        q.and_then(|text| text.parse::<MerchantId>().ok()) as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Writes back everything of a merchant that may change. The caller holds its row's lock.
///
/// # Errors
/// `merchants_nmid_unique`, `merchants_pan_unique`, `merchants_partner_merchant_id_unique`, `merchants_fee_profile`.
pub async fn update(conn: &mut PgConnection, merchant: &Merchant) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE merchants SET legal_name = $2, brand_name = $3, status = $4, status_reason = $5, payout_mode = $6,
             settlement_account_reference = $7, settlement_account_type = $8, payout_account_reference = $9,
             fee_profile_id = $10, nmid = $11, merchant_pan = $12, merchant_criteria = $13, mcc = $14, city = $15,
             postal_code = $16, contact = $17, updated_at = $18, qris_partner_id = $19,
             partner_merchant_id = $20
         WHERE id = $1",
        merchant.id as _,
        merchant.legal_name,
        merchant.brand_name,
        merchant.status as _,
        merchant.status_reason,
        merchant.payout_mode as _,
        merchant.settlement_account_reference,
        merchant.settlement_account_type as _,
        merchant.payout_account_reference,
        merchant.fee_profile_id,
        merchant.nmid,
        merchant.merchant_pan,
        merchant.merchant_criteria as _,
        merchant.mcc,
        merchant.city,
        merchant.postal_code,
        merchant.contact,
        merchant.updated_at,
        merchant.qris_partner_id,
        merchant.partner_merchant_id,
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// The next number from which an NMID and a merchant PAN are issued.
pub async fn next_registration_number(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT nextval('merchant_registration_numbers') AS "number!""#)
        .fetch_one(conn)
        .await
}

/// What these merchants call themselves on signs.
pub async fn names(
    conn: &mut PgConnection,
    ids: &[MerchantId],
) -> sqlx::Result<Vec<(MerchantId, String)>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: MerchantId", brand_name FROM merchants WHERE id = ANY($1)"#,
        ids as _
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.brand_name))
        .collect())
}
