//! What a message says of its subject.

use chrono::{DateTime, Utc};
use domain::settlement::SettlementStatus;
use domain::transaction::QrType;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::Rupiah;
use wire::ids::{DeviceId, MerchantId, OutletId, SettlementId, TerminalId, TransactionId};

/// A payment.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Payment {
    pub transaction_id: TransactionId,
    pub merchant_id: MerchantId,
    pub outlet_id: OutletId,
    pub terminal_id: TerminalId,
    pub qr_type: QrType,
    pub amount: Rupiah,
    pub tip: Option<Rupiah>,
    pub refunded_amount: Rupiah,
    pub fee: Rupiah,
    pub net: Rupiah,
    pub currency: String,
    pub paid_at: DateTime<Utc>,
    pub reversed_at: Option<DateTime<Utc>>,
    pub partner_id: String,
    pub partner_reference: String,
    pub rrn: Option<String>,
    pub issuer: Option<String>,
}

/// A settlement.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Settlement {
    pub settlement_id: SettlementId,
    pub merchant_id: MerchantId,
    pub status: SettlementStatus,
    pub gross: Rupiah,
    pub fee: Rupiah,
    pub refunds: Rupiah,
    pub net: Rupiah,
    pub transaction_count: i64,
    pub bank_reference: Option<String>,
    pub status_reason: Option<String>,
}

/// A box.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Device {
    pub device_id: DeviceId,
    pub serial_number: String,
    pub model: String,
    pub merchant_id: Option<MerchantId>,
    pub outlet_id: Option<OutletId>,
    pub terminal_id: Option<TerminalId>,
}

/// Payments, in no order.
pub async fn payments(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as!(
        Payment,
        r#"SELECT t.id AS transaction_id, t.merchant_id, t.outlet_id, t.terminal_id, t.qr_type, p.amount,
             p.tip, p.refunded AS refunded_amount, p.fee, p.net, t.currency, p.paid_at, p.reversed_at,
             p.partner_id, p.partner_reference, p.rrn, p.issuer
         FROM transactions t JOIN payments p ON p.transaction_id = t.id WHERE t.id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await
}

/// Settlements, in no order.
pub async fn settlements(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Settlement>> {
    sqlx::query_as!(
        Settlement,
        r#"SELECT id AS settlement_id, merchant_id, status, gross,
             fee, refunds, net, transaction_count, bank_reference,
             status_reason
         FROM settlements WHERE id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await
}

/// Boxes, in no order, with where they stand now.
pub async fn devices(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Device>> {
    sqlx::query_as!(
        Device,
        r#"SELECT d.id AS device_id, d.serial_number, d.model, b.merchant_id AS "merchant_id?",
             b.outlet_id AS "outlet_id?", b.terminal_id AS "terminal_id?"
         FROM devices d LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL WHERE d.id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await
}
