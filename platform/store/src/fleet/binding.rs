//! Bindings: which box belongs to which terminal.

use chrono::{DateTime, Utc};
use domain::device::DeviceStatus;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{BindingId, DeviceId, MerchantId, OutletId, TerminalId};
use wire::{Encoding, Language};

/// One period in which a box belonged to a terminal.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Binding {
    pub id: BindingId,
    pub device_id: DeviceId,
    pub terminal_id: TerminalId,
    pub outlet_id: OutletId,
    pub merchant_id: MerchantId,
    pub bound_at: DateTime<Utc>,
    pub unbound_at: Option<DateTime<Utc>>,
}

/// Stores a new binding.
///
/// # Errors
/// `bindings_one_active` when the box is bound already.
pub async fn insert(conn: &mut PgConnection, binding: &Binding) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO bindings (id, device_id, terminal_id, outlet_id, merchant_id, bound_at) VALUES ($1, $2, $3, $4, $5, $6)",
        binding.id as _,
        binding.device_id as _,
        binding.terminal_id as _,
        binding.outlet_id as _,
        binding.merchant_id as _,
        binding.bound_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The current binding of a box.
pub async fn find_active(
    conn: &mut PgConnection,
    device_id: DeviceId,
) -> sqlx::Result<Option<Binding>> {
    sqlx::query_as!(
        Binding,
        "SELECT * FROM bindings WHERE device_id = $1 AND unbound_at IS NULL",
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// Ends the binding of a box. Waits for payments that are being announced to it at this moment.
pub async fn end_active(
    conn: &mut PgConnection,
    device_id: DeviceId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<BindingId>> {
    sqlx::query_scalar!(
        "UPDATE bindings SET unbound_at = $2 WHERE device_id = $1 AND unbound_at IS NULL RETURNING id",
        device_id as _,
        now
    )
    .fetch_optional(conn)
    .await
}

/// A box at the terminal of a payment.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The terminal.
    pub terminal_id: TerminalId,
    /// The box.
    pub device_id: DeviceId,
    /// Its binding.
    pub binding_id: BindingId,
    /// registered, active, suspended or retired: the payment is announced to the first two.
    pub status: DeviceStatus,
    /// How it reads messages.
    pub payload_encoding: Encoding,
    /// The language that it speaks.
    pub language: Language,
    /// Whether it says the merchant's name.
    pub announce_merchant_name: bool,
}

/// The boxes at a terminal, in device order, whatever their status; their bindings locked against an unbind until the
/// transaction ends.
pub async fn listeners_for_share(
    conn: &mut PgConnection,
    terminal_id: TerminalId,
) -> sqlx::Result<Vec<Listener>> {
    sqlx::query_as!(
        Listener,
        r#"SELECT b.terminal_id, b.device_id, b.id AS binding_id, d.status, d.payload_encoding,
               coalesce(c.language, 'id') AS "language!: Language",
               coalesce(c.announce_merchant_name, false) AS "announce_merchant_name!"
           FROM bindings b JOIN devices d ON d.id = b.device_id LEFT JOIN device_configs c ON c.device_id = b.device_id
           WHERE b.terminal_id = $1 AND b.unbound_at IS NULL
           ORDER BY b.device_id FOR SHARE OF b"#,
        terminal_id as _
    )
    .fetch_all(conn)
    .await
}
