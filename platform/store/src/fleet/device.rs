//! Devices: the boxes, as operators set them.

use chrono::{DateTime, Utc};
use domain::box_profile::Confirmation;
use domain::device::{Capability, CommunicationMode, DeviceStatus};
use sqlx::PgConnection;
use wire::Encoding;
use wire::ids::DeviceId;

use crate::column;

/// What an operator sets of a device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Device {
    pub id: DeviceId,
    pub serial_number: String,
    pub model: String,
    pub capabilities: Vec<Capability>,
    pub communication_mode: CommunicationMode,
    pub status: DeviceStatus,
    pub payload_encoding: Encoding,
    pub tags: Vec<String>,
    /// The profile by which it is spoken to: `native`, or another maker's.
    pub profile: String,
    pub confirmation: Confirmation,
    pub imei: Option<String>,
    pub product_key: Option<String>,
    pub mqtt_user_name: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub activated_at: Option<DateTime<Utc>>,
}

/// Stores a new device and its rows of presence and sequence numbers.
///
/// # Errors
/// `devices_serial_number_unique`, `devices_mqtt_user_name_unique`.
pub async fn insert(conn: &mut PgConnection, device: &Device) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO devices (id, serial_number, model, capabilities, communication_mode, status, payload_encoding, created_at, updated_at,
             tags, activated_at, profile, confirmation, imei, product_key, mqtt_user_name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        device.id as _,
        device.serial_number,
        device.model,
        &device.capabilities as _,
        device.communication_mode as _,
        device.status as _,
        device.payload_encoding as _,
        device.created_at,
        device.updated_at,
        &device.tags,
        device.activated_at,
        device.profile,
        device.confirmation as _,
        device.imei,
        device.product_key,
        device.mqtt_user_name,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO device_presence (device_id) VALUES ($1)",
        device.id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO notification_sequences (device_id, last_sequence) VALUES ($1, 0)",
        device.id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A device, not locked.
pub async fn find(conn: &mut PgConnection, id: DeviceId) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(Device, "SELECT * FROM devices WHERE id = $1", id as _)
        .fetch_optional(conn)
        .await
}

/// A device, its row locked until the transaction ends. Rows that refer to it (announcements, commands, events) are
/// written meanwhile: its key does not change.
pub async fn lock(conn: &mut PgConnection, id: DeviceId) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(
        Device,
        "SELECT * FROM devices WHERE id = $1 FOR NO KEY UPDATE",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// [`lock`], for what does not look at the devices themselves, in the order of their ids.
pub async fn hold(conn: &mut PgConnection, ids: &[DeviceId]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM devices WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        ids as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// The device with a serial number, its row locked until the transaction ends.
pub async fn lock_by_serial(
    conn: &mut PgConnection,
    serial_number: &str,
) -> sqlx::Result<Option<Device>> {
    sqlx::query_as!(
        Device,
        "SELECT * FROM devices WHERE serial_number = $1 FOR NO KEY UPDATE",
        serial_number
    )
    .fetch_optional(conn)
    .await
}

/// The id of the device with a serial number.
pub async fn id_by_serial(
    conn: &mut PgConnection,
    serial_number: &str,
) -> sqlx::Result<Option<DeviceId>> {
    sqlx::query_scalar!(
        "SELECT id FROM devices WHERE serial_number = $1",
        serial_number
    )
    .fetch_optional(conn)
    .await
}

/// Those of these serial numbers that are registered already.
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
pub async fn update(conn: &mut PgConnection, device: &Device) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE devices SET model = $2, capabilities = $3, communication_mode = $4, status = $5, payload_encoding = $6,
             updated_at = $7, activated_at = $8, tags = $9, profile = $10, confirmation = $11, imei = $12, product_key = $13,
             mqtt_user_name = $14 WHERE id = $1",
        device.id as _,
        device.model,
        &device.capabilities as _,
        device.communication_mode as _,
        device.status as _,
        device.payload_encoding as _,
        device.updated_at,
        device.activated_at,
        &device.tags,
        device.profile,
        device.confirmation as _,
        device.imei,
        device.product_key,
        device.mqtt_user_name,
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Writes down what the notifications of these profiles' boxes can be confirmed by, where that has changed. A box that
/// subscribes without PUBACK stays unconfirmed while that is all that its profile has.
pub async fn set_confirmations(
    conn: &mut PgConnection,
    profiles: &[(&str, Confirmation)],
) -> sqlx::Result<()> {
    let confirmations = column(profiles, |(_, confirmation)| {
        confirmation.as_str().to_owned()
    });
    sqlx::query!(
        "UPDATE devices d SET confirmation = p.confirmation
         FROM unnest($1::text[], $2::text[]) AS p (profile, confirmation)
         WHERE d.profile = p.profile AND d.confirmation <> p.confirmation
             AND NOT (d.confirmation = 'none' AND p.confirmation = 'puback')",
        &names(profiles),
        &confirmations
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down what the notifications of a box can be confirmed by, as it has subscribed.
pub async fn note_confirmation(
    conn: &mut PgConnection,
    id: DeviceId,
    confirmation: Confirmation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE devices SET confirmation = $2 WHERE id = $1 AND confirmation <> $2",
        id as _,
        confirmation as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The profiles of other makers that registered boxes have and that are none of these.
pub async fn unknown_profiles(
    conn: &mut PgConnection,
    known: &[(&str, Confirmation)],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT DISTINCT profile FROM devices
         WHERE profile <> 'native' AND profile <> ALL($1) AND status <> 'retired' ORDER BY profile",
        &names(known)
    )
    .fetch_all(conn)
    .await
}

fn names(profiles: &[(&str, Confirmation)]) -> Vec<String> {
    column(profiles, |(name, _)| (*name).to_owned())
}
