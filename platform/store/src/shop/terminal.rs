//! Terminals: a point of sale in an outlet, with its label in QR codes.

use chrono::{DateTime, Utc};
use domain::attribution::Candidate;
use domain::callback::PrintedCode;
use domain::dialect::request::PayeeNames;
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
    /// The name of the merchant's QR partner for it; another outlet's terminal may have the same.
    pub partner_terminal_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Stores a new terminal.
///
/// # Errors
/// `terminals_label_unique`, `terminals_partner_terminal_id_unique`.
pub async fn insert(conn: &mut PgConnection, terminal: &Terminal) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO terminals (id, merchant_id, outlet_id, name, terminal_label, qr_mode, created_at, updated_at,
             partner_terminal_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        terminal.id as _,
        terminal.merchant_id as _,
        terminal.outlet_id as _,
        terminal.name,
        terminal.terminal_label,
        terminal.qr_mode as _,
        terminal.created_at,
        terminal.updated_at,
        terminal.partner_terminal_id,
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
/// `terminals_label_unique`, `terminals_partner_terminal_id_unique`.
pub async fn update(conn: &mut PgConnection, terminal: &Terminal) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE terminals SET name = $2, terminal_label = $3, qr_mode = $4, updated_at = $5, partner_terminal_id = $6 WHERE id = $1",
        terminal.id as _,
        terminal.name,
        terminal.terminal_label,
        terminal.qr_mode as _,
        terminal.updated_at,
        terminal.partner_terminal_id,
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

/// The merchant's terminal with exactly this label.
pub async fn find_by_label(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    label: &str,
) -> sqlx::Result<Option<Terminal>> {
    sqlx::query_as!(
        Terminal,
        "SELECT * FROM terminals WHERE merchant_id = $1 AND terminal_label = $2",
        merchant_id as _,
        label
    )
    .fetch_optional(conn)
    .await
}

/// The terminal in the same outlet that its partner calls so.
pub async fn find_by_partner_terminal_id(
    conn: &mut PgConnection,
    beside: &Terminal,
    partner_terminal_id: &str,
) -> sqlx::Result<Option<TerminalId>> {
    sqlx::query_scalar!(
        "SELECT id FROM terminals WHERE merchant_id = $1 AND partner_terminal_id = $2 AND outlet_id = $3",
        beside.merchant_id as _,
        partner_terminal_id,
        beside.outlet_id as _
    )
    .fetch_optional(conn)
    .await
}

/// How many terminals of the same names are read.
const NAMED_MAX: i64 = 16;

/// The merchant's terminals that a message may mean by its label, its terminal id or our id: those with exactly this
/// label first, then those of the store that it names. A partner's name of a terminal may be in use in many outlets.
pub async fn named(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    code: &PrintedCode,
) -> sqlx::Result<Vec<Candidate>> {
    let label = code.terminal_label.as_deref().unwrap_or_default();
    let name = code.terminal_id.as_deref().unwrap_or_default();
    let id: Option<TerminalId> = name.parse().ok();
    sqlx::query_as!(
        Candidate,
        r#"WITH named AS (
               SELECT id FROM terminals WHERE merchant_id = $1 AND lower(terminal_label) IN (lower($2), lower($3))
               UNION
               SELECT id FROM terminals WHERE merchant_id = $1 AND partner_terminal_id IN ($2, $3)
               UNION
               SELECT id FROM terminals WHERE merchant_id = $1 AND id = $4)
           SELECT t.id, t.outlet_id, t.terminal_label, t.partner_terminal_id, o.partner_store_id, t.qr_mode
           FROM named JOIN terminals t ON t.id = named.id JOIN outlets o ON o.id = t.outlet_id
           ORDER BY t.terminal_label IN ($2, $3) DESC, o.partner_store_id IS NOT DISTINCT FROM $5 DESC LIMIT $6"#,
        merchant_id as _,
        label,
        name,
        id as _,
        code.store_id.as_deref(),
        NAMED_MAX
    )
    .fetch_all(conn)
    .await
}

/// Up to two of the merchant's terminals that take static payments; fewer than two are followed by one that takes none.
pub async fn static_ones(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"(SELECT t.id AS "id!: TerminalId", t.outlet_id AS "outlet_id!: OutletId", t.terminal_label AS "terminal_label!",
                  t.partner_terminal_id, o.partner_store_id, t.qr_mode AS "qr_mode!: QrMode"
           FROM terminals t JOIN outlets o ON o.id = t.outlet_id
           WHERE t.merchant_id = $1 AND t.qr_mode IN ('static', 'both') LIMIT 2)
           UNION ALL
           (SELECT t.id, t.outlet_id, t.terminal_label, t.partner_terminal_id, o.partner_store_id, t.qr_mode
           FROM terminals t JOIN outlets o ON o.id = t.outlet_id
           WHERE t.merchant_id = $1 AND t.qr_mode = 'dynamic' LIMIT 1)
           LIMIT 2"#,
        merchant_id as _
    )
    .fetch_all(conn)
    .await
}

/// The same within the merchant's outlet that its partner calls so; `None` when it has no such outlet.
pub async fn static_ones_of_store(
    conn: &mut PgConnection,
    merchant_id: MerchantId,
    partner_store_id: &str,
) -> sqlx::Result<Option<Vec<Candidate>>> {
    let outlet =
        super::outlet::find_by_partner_store_id(conn, merchant_id, partner_store_id).await?;
    let Some(outlet) = outlet else {
        return Ok(None);
    };
    let found = sqlx::query_as!(
        Candidate,
        r#"(SELECT t.id AS "id!: TerminalId", t.outlet_id AS "outlet_id!: OutletId", t.terminal_label AS "terminal_label!",
                  t.partner_terminal_id, $2::text AS partner_store_id, t.qr_mode AS "qr_mode!: QrMode"
           FROM terminals t WHERE t.outlet_id = $1 AND t.qr_mode IN ('static', 'both') LIMIT 2)
           UNION ALL
           (SELECT t.id, t.outlet_id, t.terminal_label, t.partner_terminal_id, $2::text, t.qr_mode
           FROM terminals t WHERE t.outlet_id = $1 AND t.qr_mode = 'dynamic' LIMIT 1)
           LIMIT 2"#,
        outlet as _,
        partner_store_id
    )
    .fetch_all(conn)
    .await?;
    Ok(Some(found))
}

/// What the QR partner of its merchant calls a terminal, its outlet and its merchant. An unknown terminal has no names.
pub async fn payee_names(conn: &mut PgConnection, id: TerminalId) -> sqlx::Result<PayeeNames> {
    let found = sqlx::query_as!(
        PayeeNames,
        r#"SELECT m.nmid, m.partner_merchant_id, o.partner_store_id, t.partner_terminal_id, t.terminal_label AS "terminal_label?"
         FROM terminals t JOIN outlets o ON o.id = t.outlet_id JOIN merchants m ON m.id = t.merchant_id WHERE t.id = $1"#,
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.unwrap_or_default())
}
