//! Devices with what is known of each: how the API shows and lists them.

use chrono::{DateTime, Utc};
use domain::box_profile::Confirmation;
use domain::device::{Capability, CommunicationMode, DeviceStatus};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::Encoding;
use wire::ids::{BindingId, DeviceId, MerchantId, OutletId, TerminalId};

use super::device::Device;
use crate::{Page, Period, Scope};

/// Where a device stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct BindingView {
    pub binding_id: BindingId,
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
    pub capabilities: Vec<Capability>,
    pub communication_mode: CommunicationMode,
    #[schema(value_type = String)]
    pub payload_encoding: Encoding,
    pub status: DeviceStatus,
    pub tags: Vec<String>,
    /// The profile by which it is spoken to: `native`, or another maker's.
    pub profile: String,
    /// The most that its notifications can be confirmed by.
    pub confirmation: Confirmation,
    pub imei: Option<String>,
    pub product_key: Option<String>,
    /// By which a box of another maker connects.
    pub mqtt_user_name: Option<String>,
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
            profile: device.profile,
            confirmation: device.confirmation,
            imei: device.imei,
            product_key: device.product_key,
            mqtt_user_name: device.mqtt_user_name,
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
    /// When it was registered.
    pub period: Period,
}

struct ViewRow {
    id: DeviceId,
    serial_number: String,
    model: String,
    capabilities: Vec<Capability>,
    communication_mode: CommunicationMode,
    payload_encoding: Encoding,
    status: DeviceStatus,
    tags: Vec<String>,
    profile: String,
    confirmation: Confirmation,
    imei: Option<String>,
    product_key: Option<String>,
    mqtt_user_name: Option<String>,
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
    binding_id: Option<BindingId>,
    terminal_id: Option<TerminalId>,
    outlet_id: Option<OutletId>,
    merchant_id: Option<MerchantId>,
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
            (
                Some(binding_id),
                Some(terminal_id),
                Some(outlet_id),
                Some(merchant_id),
                Some(bound_at),
            ) => Some(BindingView {
                binding_id,
                terminal_id,
                outlet_id,
                merchant_id,
                bound_at,
            }),
            _ => None,
        };
        let certificate = row
            .certificate_serial
            .zip(row.certificate_not_after)
            .map(|(serial, not_after)| CertificateView { serial, not_after });
        Self {
            id: row.id,
            serial_number: row.serial_number,
            model: row.model,
            capabilities: row.capabilities,
            communication_mode: row.communication_mode,
            payload_encoding: row.payload_encoding,
            status: row.status,
            tags: row.tags,
            profile: row.profile,
            confirmation: row.confirmation,
            imei: row.imei,
            product_key: row.product_key,
            mqtt_user_name: row.mqtt_user_name,
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

/// The pattern of LIKE for lower-case texts that contain this one in any case.
pub(crate) fn contains(part: &str) -> String {
    let literally = part
        .to_lowercase()
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!("%{literally}%")
}

/// The ids of devices, newest first. For a merchant only those bound to it now.
pub async fn choose(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<DeviceId>> {
    // Narrow, so that indexes alone answer it. Their rows are read for one page of devices, not for all that are looked
    // through.
    sqlx::query_scalar!(
        r#"SELECT d.id
           FROM devices d
           JOIN device_presence p ON p.device_id = d.id
           LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
           WHERE ($1::uuid IS NULL OR b.merchant_id = $1)
             AND ($2::text IS NULL OR d.status = $2) AND ($3::boolean IS NULL OR p.online = $3)
             AND ($4::text IS NULL OR d.model = $4) AND ($5::text IS NULL OR d.serial_number = $5)
             AND ($6::uuid IS NULL OR b.terminal_id = $6) AND ($7::uuid IS NULL OR b.merchant_id = $7)
             AND ($8::text IS NULL OR p.firmware_version = $8) AND ($9::text IS NULL OR d.tags @> ARRAY[$9])
             AND ($10::text IS NULL OR lower(d.serial_number) LIKE $10 OR d.id = $11)
             AND ($12::timestamptz IS NULL OR d.created_at >= $12) AND ($13::timestamptz IS NULL OR d.created_at < $13)
             AND ($14::timestamptz IS NULL OR (d.created_at, d.id) < ($14, $15::uuid))
           ORDER BY d.created_at DESC, d.id DESC LIMIT $16"#,
        scope.merchant(),
        filter.status,
        filter.online,
        filter.model,
        filter.serial_number,
        filter.terminal_id as _,
        filter.merchant_id as _,
        filter.firmware_version,
        filter.tag,
        filter.q.as_deref().map(contains),
        filter
            .q
            .as_deref()
            .and_then(|text| text.parse::<DeviceId>().ok()) as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// These devices, newest first. For a merchant only those bound to it now.
pub async fn views(
    conn: &mut PgConnection,
    scope: Scope,
    ids: &[DeviceId],
) -> sqlx::Result<Vec<DeviceView>> {
    let rows = sqlx::query_as!(
        ViewRow,
        r#"SELECT d.id, d.serial_number, d.model, d.capabilities, d.communication_mode, d.payload_encoding, d.status, d.tags,
                  d.profile, d.confirmation, d.imei, d.product_key, d.mqtt_user_name,
                  d.created_at, d.updated_at, d.activated_at,
                  p.online, p.last_seen_at, p.state, p.firmware_version, p.battery_level, p.network_strength, p.clock_skew_ms,
                  b.id AS "binding_id?", b.terminal_id AS "terminal_id?", b.outlet_id AS "outlet_id?",
                  b.merchant_id AS "merchant_id?", b.bound_at AS "bound_at?",
                  c.certificate_serial AS "certificate_serial?", c.not_after AS "certificate_not_after?"
           FROM devices d
           JOIN device_presence p ON p.device_id = d.id
           LEFT JOIN bindings b ON b.device_id = d.id AND b.unbound_at IS NULL
           LEFT JOIN LATERAL (SELECT certificate_serial, not_after FROM device_credentials
                              WHERE device_id = d.id AND kind = 'certificate' AND revoked_at IS NULL ORDER BY created_at DESC LIMIT 1) c ON true
           WHERE d.id = ANY($1) AND ($2::uuid IS NULL OR b.merchant_id = $2)
           ORDER BY d.created_at DESC, d.id DESC"#,
        ids as _,
        scope.merchant()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(DeviceView::from).collect())
}
