//! Devices: the boxes, with what is known of each when it is read.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{DeviceId, MerchantId, OutletId, TerminalId};

use crate::store::{Page, Scope};

/// What an operator sets of a device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Device {
    pub id: DeviceId,
    pub serial_number: String,
    pub model: String,
    pub capabilities: Vec<String>,
    pub communication_mode: String,
    pub status: String,
    pub payload_encoding: String,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub activated_at: Option<DateTime<Utc>>,
}

/// Where a device stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct BindingView {
    pub binding_id: wire::ids::BindingId,
    pub terminal_id: TerminalId,
    pub outlet_id: OutletId,
    pub merchant_id: MerchantId,
    pub bound_at: DateTime<Utc>,
}

/// The certificate a device was last given.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct CertificateView {
    pub serial: String,
    pub not_after: DateTime<Utc>,
}

/// A device with all that is known of it, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct DeviceView {
    pub id: DeviceId,
    pub serial_number: String,
    pub model: String,
    #[schema(value_type = Vec<domain::device::Capability>)]
    pub capabilities: Vec<String>,
    #[schema(value_type = domain::device::CommunicationMode)]
    pub communication_mode: String,
    pub payload_encoding: String,
    #[schema(value_type = domain::device::DeviceStatus)]
    pub status: String,
    pub tags: Vec<String>,
    pub binding: Option<BindingView>,
    pub online: bool,
    pub last_seen_at: Option<DateTime<Utc>>,
    pub state: Option<String>,
    pub firmware_version: Option<String>,
    pub battery_level: Option<i16>,
    pub network_strength: Option<i16>,
    /// How far its own clock is ahead of ours by its last beat, milliseconds; null when it told no time.
    pub clock_skew_ms: Option<i64>,
    pub certificate: Option<CertificateView>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub activated_at: Option<DateTime<Utc>>,
}

impl From<Device> for DeviceView {
    /// A device of which nothing is known yet but what was written down.
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            serial_number: device.serial_number,
            model: device.model,
            capabilities: device.capabilities,
            communication_mode: device.communication_mode,
            payload_encoding: device.payload_encoding,
            status: device.status,
            tags: device.tags,
            binding: None,
            online: false,
            last_seen_at: None,
            state: None,
            firmware_version: None,
            battery_level: None,
            network_strength: None,
            clock_skew_ms: None,
            certificate: None,
            created_at: device.created_at,
            updated_at: device.updated_at,
            activated_at: device.activated_at,
        }
    }
}

/// Stores a new device and its rows of presence and sequence numbers.
///
/// # Errors
/// The database's; `devices_serial_number_unique`.
pub async fn insert(conn: &mut PgConnection, device: &Device) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO devices (id, serial_number, model, capabilities, communication_mode, status, payload_encoding, created_at, updated_at,
             tags)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        device.id.as_uuid(),
        device.serial_number,
        device.model,
        &device.capabilities,
        device.communication_mode,
        device.status,
        device.payload_encoding,
        device.created_at,
        device.updated_at,
        &device.tags,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO device_presence (device_id) VALUES ($1)",
        device.id.as_uuid()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO notification_sequences (device_id, last_sequence) VALUES ($1, 0)",
        device.id.as_uuid()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A device, not locked.
///
/// # Errors
/// The database's.
pub async fn find(conn: &mut PgConnection, id: DeviceId) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(Device, "SELECT * FROM devices WHERE id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await
}

/// A device, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, id: DeviceId) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(
        Device,
        "SELECT * FROM devices WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(conn)
    .await
}

/// The device with a serial number, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock_by_serial(
    conn: &mut PgConnection,
    serial_number: &str,
) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(
        Device,
        "SELECT * FROM devices WHERE serial_number = $1 FOR UPDATE",
        serial_number
    )
    .fetch_optional(conn)
    .await
}

/// The id of the device with a serial number.
///
/// # Errors
/// The database's.
pub async fn id_by_serial(
    conn: &mut PgConnection,
    serial_number: &str,
) -> sqlx::Result<Option<DeviceId>> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM devices WHERE serial_number = $1",
        serial_number
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(DeviceId::from_uuid))
}

/// Those of these serial numbers that are registered already.
///
/// # Errors
/// The database's.
pub async fn known_serials(
    conn: &mut PgConnection,
    serial_numbers: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT serial_number FROM devices WHERE serial_number = ANY($1)",
        serial_numbers
    )
    .fetch_all(conn)
    .await
}

/// Writes back what may change of a device. The caller holds its row's lock.
///
/// # Errors
/// The database's.
pub async fn update(conn: &mut PgConnection, device: &Device) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE devices SET model = $2, capabilities = $3, communication_mode = $4, status = $5, payload_encoding = $6,
             updated_at = $7, activated_at = $8, tags = $9 WHERE id = $1",
        device.id.as_uuid(),
        device.model,
        &device.capabilities,
        device.communication_mode,
        device.status,
        device.payload_encoding,
        device.updated_at,
        device.activated_at,
        &device.tags,
    )
    .execute(conn)
    .await?;
    crate::store::exactly_one(&result)
}

/// Which devices a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub status: Option<String>,
    pub online: Option<bool>,
    pub model: Option<String>,
    pub serial_number: Option<String>,
    pub terminal_id: Option<TerminalId>,
    pub merchant_id: Option<MerchantId>,
    pub firmware_version: Option<String>,
    pub tag: Option<String>,
    /// A part of the serial number, or the id.
    pub q: Option<String>,
}

struct ViewRow {
    id: uuid::Uuid,
    serial_number: String,
    model: String,
    capabilities: Vec<String>,
    communication_mode: String,
    payload_encoding: String,
    status: String,
    tags: Vec<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    activated_at: Option<DateTime<Utc>>,
    online: bool,
    last_seen_at: Option<DateTime<Utc>>,
    state: Option<String>,
    firmware_version: Option<String>,
    battery_level: Option<i16>,
    network_strength: Option<i16>,
    clock_skew_ms: Option<i64>,
    binding_id: Option<uuid::Uuid>,
    terminal_id: Option<uuid::Uuid>,
    outlet_id: Option<uuid::Uuid>,
    merchant_id: Option<uuid::Uuid>,
    bound_at: Option<DateTime<Utc>>,
    certificate_serial: Option<String>,
    certificate_not_after: Option<DateTime<Utc>>,
}

impl From<ViewRow> for DeviceView {
    fn from(row: ViewRow) -> Self {
        let binding = match (
            row.binding_id,
            row.terminal_id,
            row.outlet_id,
            row.merchant_id,
            row.bound_at,
        ) {
            (Some(binding), Some(terminal), Some(outlet), Some(merchant), Some(bound_at)) => {
                Some(BindingView {
                    binding_id: binding.into(),
                    terminal_id: terminal.into(),
                    outlet_id: outlet.into(),
                    merchant_id: merchant.into(),
                    bound_at,
                })
            }
            _ => None,
        };
        let certificate = row
            .certificate_serial
            .zip(row.certificate_not_after)
            .map(|(serial, not_after)| CertificateView { serial, not_after });
        Self {
            id: row.id.into(),
            serial_number: row.serial_number,
            model: row.model,
            capabilities: row.capabilities,
            communication_mode: row.communication_mode,
            payload_encoding: row.payload_encoding,
            status: row.status,
            tags: row.tags,
            binding,
            online: row.online,
            last_seen_at: row.last_seen_at,
            state: row.state,
            firmware_version: row.firmware_version,
            battery_level: row.battery_level,
            network_strength: row.network_strength,
            clock_skew_ms: row.clock_skew_ms,
            certificate,
            created_at: row.created_at,
            updated_at: row.updated_at,
            activated_at: row.activated_at,
        }
    }
}

/// Devices, newest first, or only the one with `id`. For a merchant only those bound to it now.
///
/// # Errors
/// The database's.
pub async fn views(
    conn: &mut PgConnection,
    scope: Scope,
    id: Option<DeviceId>,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<DeviceView>> {
    let rows = sqlx::query_as!(
        ViewRow,
        r#"SELECT d.id, d.serial_number, d.model, d.capabilities, d.communication_mode, d.payload_encoding, d.status, d.tags,
                  d.created_at, d.updated_at, d.activated_at,
                  p.online, p.last_seen_at, p.state, p.firmware_version, p.battery_level, p.network_strength, p.clock_skew_ms,
                  b.id AS "binding_id?", b.terminal_id AS "terminal_id?", b.outlet_id AS "outlet_id?",
                  b.merchant_id AS "merchant_id?", b.bound_at AS "bound_at?",
                  c.certificate_serial AS "certificate_serial?", c.not_after AS "certificate_not_after?"
           FROM devices d
           JOIN device_presence p ON p.device_id = d.id
           LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
           LEFT JOIN LATERAL (SELECT certificate_serial, not_after FROM device_credentials
                              WHERE device_id = d.id AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1) c ON true
           WHERE ($1::uuid IS NULL OR b.merchant_id = $1) AND ($2::uuid IS NULL OR d.id = $2)
             AND ($3::text IS NULL OR d.status = $3) AND ($4::boolean IS NULL OR p.online = $4)
             AND ($5::text IS NULL OR d.model = $5) AND ($6::text IS NULL OR d.serial_number = $6)
             AND ($7::uuid IS NULL OR b.terminal_id = $7)
             AND ($11::uuid IS NULL OR b.merchant_id = $11) AND ($12::text IS NULL OR p.firmware_version = $12)
             AND ($13::text IS NULL OR d.tags @> ARRAY[$13])
             AND ($14::text IS NULL OR strpos(lower(d.serial_number), $14) > 0 OR $14 = 'sbx_' || replace(d.id::text, '-', ''))
             AND ($8::timestamptz IS NULL OR (d.created_at, d.id) < ($8, $9::uuid))
           ORDER BY d.created_at DESC, d.id DESC LIMIT $10"#,
        scope.merchant(),
        id.map(DeviceId::as_uuid),
        filter.status,
        filter.online,
        filter.model,
        filter.serial_number,
        filter.terminal_id.map(TerminalId::as_uuid),
        page.after_time(),
        page.after_id(),
        page.limit,
        filter.merchant_id.map(MerchantId::as_uuid),
        filter.firmware_version,
        filter.tag,
        filter.q.as_ref().map(|part| part.to_lowercase())
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(DeviceView::from).collect())
}
