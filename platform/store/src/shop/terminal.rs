//! Terminals: a point of sale in an outlet, with its label in QR codes.

use chrono::{DateTime, Utc};
use domain::transaction::QrMode;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{MerchantId, OutletId, TerminalId};

use crate::{Page, Scope};

/// A terminal, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Terminal {
    pub id: TerminalId,
    pub merchant_id: MerchantId,
    pub outlet_id: OutletId,
    pub name: String,
    pub terminal_label: String,
    #[schema(value_type = String)]
    pub qr_mode: QrMode,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Stores a new terminal.
///
/// # Errors
/// `terminals_label_unique`.
pub async fn insert(conn: &mut PgConnection, terminal: &Terminal) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO terminals (id, merchant_id, outlet_id, name, terminal_label, qr_mode, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        terminal.id as _,
        terminal.merchant_id as _,
        terminal.outlet_id as _,
        terminal.name,
        terminal.terminal_label,
        terminal.qr_mode as _,
        terminal.created_at,
        terminal.updated_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One terminal.
pub async fn find(
    conn: &mut PgConnection,
    scope: Scope,
    id: TerminalId,
) -> sqlx::Result<Option<Terminal>> {
    sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals WHERE id = $1 AND ($2::uuid IS NULL OR merchant_id = $2)",
        id as _,
        scope.merchant()
    )
    .fetch_optional(conn)
    .await
}

/// One terminal, its row locked until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: TerminalId) -> sqlx::Result<Option<Terminal>> {
    sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals WHERE id = $1 FOR NO KEY UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// Writes back what may change of a terminal. The caller holds its row's lock.
///
/// # Errors
/// `terminals_label_unique`.
pub async fn update(conn: &mut PgConnection, terminal: &Terminal) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE terminals SET name = $2, terminal_label = $3, qr_mode = $4, updated_at = $5 WHERE id = $1",
        terminal.id as _,
        terminal.name,
        terminal.terminal_label,
        terminal.qr_mode as _,
        terminal.updated_at,
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Terminals, newest first, optionally of one outlet.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    outlet: Option<OutletId>,
    page: Page,
) -> sqlx::Result<Vec<Terminal>> {
    sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::uuid IS NULL OR outlet_id = $2)
           AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $5",
        scope.merchant(),
        outlet as _,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// How many terminals a merchant has: the number from which the next label is made.
pub async fn count(conn: &mut PgConnection, merchant_id: MerchantId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM terminals WHERE merchant_id = $1"#,
        merchant_id as _
    )
    .fetch_one(conn)
    .await
}

/// The terminal that takes static payments under this label: the one that has exactly this label, else the only one whose
/// label differs in nothing but the case of its letters.
pub async fn find_static_by_label(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    label: &str,
) -> sqlx::Result<Option<Terminal>> {
    let mut found = sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals
         WHERE merchant_id = $1 AND qr_mode IN ('static', 'both') AND lower(terminal_label) = lower($2)
         ORDER BY terminal_label <> $2 LIMIT 2",
        merchant_id as _,
        label
    )
    .fetch_all(conn)
    .await?;
    if found
        .first()
        .is_some_and(|first| first.terminal_label == label)
    {
        found.truncate(1);
    }
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// The merchant's sole terminal that takes static payments.
pub async fn find_sole_static(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
) -> sqlx::Result<Option<Terminal>> {
    let mut found = sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals WHERE merchant_id = $1 AND qr_mode IN ('static', 'both') LIMIT 2",
        merchant_id as _
    )
    .fetch_all(conn)
    .await?;
    Ok(if found.len() == 1 { found.pop() } else { None })
}
