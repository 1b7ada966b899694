//! Outlets: a merchant's places of business.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{MerchantId, OutletId};

use crate::{Page, Scope};

/// An outlet, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Outlet {
    pub id: OutletId,
    pub merchant_id: MerchantId,
    pub name: String,
    pub address: Option<String>,
    pub city: Option<String>,
    pub postal_code: Option<String>,
    pub timezone: String,
    /// The name of the merchant's QR partner for it.
    pub partner_store_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Stores a new outlet.
///
/// # Errors
/// `outlets_merchant`, `outlets_partner_store_id_unique`.
pub async fn insert(conn: &mut PgConnection, outlet: &Outlet) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO outlets (id, merchant_id, name, address, city, postal_code, timezone, created_at, updated_at,
             partner_store_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        outlet.id as _,
        outlet.merchant_id as _,
        outlet.name,
        outlet.address,
        outlet.city,
        outlet.postal_code,
        outlet.timezone,
        outlet.created_at,
        outlet.updated_at,
        outlet.partner_store_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One outlet.
pub async fn find(
    conn: &mut PgConnection,
    scope: Scope,
    id: OutletId,
) -> sqlx::Result<Option<Outlet>> {
    sqlx::query_as!(
        Outlet,
        "SELECT * FROM outlets WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One outlet, its row locked until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: OutletId) -> sqlx::Result<Option<Outlet>> {
    sqlx::query_as!(
        Outlet,
        "SELECT * FROM outlets WHERE id = $1 FOR NO KEY UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The merchant's outlet that its partner calls so.
pub async fn find_by_partner_store_id(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    partner_store_id: &str,
) -> sqlx::Result<Option<OutletId>> {
    sqlx::query_scalar!(
        "SELECT id FROM outlets WHERE partner_store_id = $1 AND merchant_id = $2",
        partner_store_id,
        merchant_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Writes back what may change of an outlet. The caller holds its row's lock.
///
/// # Errors
/// `outlets_partner_store_id_unique`.
pub async fn update(conn: &mut PgConnection, outlet: &Outlet) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE outlets SET name = $2, address = $3, city = $4, postal_code = $5, timezone = $6, updated_at = $7,
             partner_store_id = $8
         WHERE id = $1",
        outlet.id as _,
        outlet.name,
        outlet.address,
        outlet.city,
        outlet.postal_code,
        outlet.timezone,
        outlet.updated_at,
        outlet.partner_store_id,
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Outlets, newest first.
pub async fn list(conn: &mut PgConnection, scope: Scope, page: Page) -> sqlx::Result<Vec<Outlet>> {
    sqlx::query_as!(
        Outlet,
        "SELECT * FROM outlets
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $4",
        scope.merchant(),
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}
