//! Passwords: how a box of another maker, which cannot make a certificate, joins by MQTT.
//!
//! A password is made here, shown once and kept as its SHA-256. It is replaced as a certificate is: the old one ends when
//! the new one is first used, or after 24 hours. Suspending, retiring and revoking end it with everything else of the box.
//!
//! SHA-256 alone is right for it: it has 128 random bits or more (64 or more where a maker leaves no room, which its profile
//! says), which nobody tries out, with or without stretching. A slow hash would cost the platform a fraction of a second for
//! every CONNECT of a returning fleet, and for every guess of anybody who can reach the listener.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use domain::box_profile::{BoxValues, NATIVE, ValueError};
use domain::credential::OVERLAP;
use serde::Serialize;
use serde_json::json;
use store::fleet::device::Device;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use super::box_profile::{VendorBox, values};
use crate::{Context, Error, Noun, Result, Settings, UnitOfWork, secret};

/// Why a box of another maker cannot join.
pub(super) const NO_LISTENER: &str = "boxes of other makers have no listener: mqtt.vendor.listen and mqtt.vendor.plain_listen are empty";

/// With what a box of another maker joins by MQTT. The password can be read at this moment only.
#[derive(Debug, Serialize, ToSchema)]
pub struct MqttLogin {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether that port speaks TLS.
    pub tls: bool,
    /// The port without TLS, if there is one.
    pub plain_port: Option<u16>,
    /// The client id that the maker wants. Any other is accepted too.
    pub client_id: String,
    /// The user name.
    pub username: String,
    /// The password; null in a repeated answer.
    #[schema(value_type = Option<String>)]
    pub password: String,
    /// What is typed into the box instead of the password, where the box derives the password from it.
    pub product_secret: Option<String>,
    /// The random bits of the password, or of the secret that it is derived from.
    pub password_bits: u32,
    /// Why these are less than 128, if they are.
    pub weaker: Option<String>,
    /// Keep-alive, seconds.
    pub keep_alive_s: u16,
    /// The topic that the box subscribes to; the first, if it has several.
    pub subscribe_topic: String,
    /// All topics that it may subscribe to.
    pub subscribe_topics: Vec<String>,
    /// All topics that it may publish.
    pub publish_topics: Vec<String>,
}

/// Whose a login is.
#[derive(Debug, Clone)]
pub enum Checked {
    /// This box's.
    Right {
        /// The name of the password among the box's credentials.
        credential: String,
        /// The box.
        vendor: Arc<VendorBox>,
    },
    /// The user name is this box's; the password is not.
    WrongPassword(DeviceId),
    /// Nobody has this user name.
    Unknown,
}

/// Whose user name and password these are. Changes nothing.
///
/// # Errors
/// A box whose profile is not known here.
pub async fn check(context: &Context, user_name: &str, password: &[u8]) -> Result<Checked> {
    let mut conn = context.pool().acquire().await?;
    let found = store::fleet::password::find(&mut conn, user_name, context.clock().now()).await?;
    drop(conn);
    let Some(device_id) = found.first().map(|one| one.device_id) else {
        return Ok(Checked::Unknown);
    };
    let given = secret::hash_bytes(password);
    let right = found.into_iter().find(|one| {
        let kept = one.password_sha256.as_deref();
        kept.is_some_and(|kept| verify_slices_are_equal(&given, kept).is_ok())
    });
    let Some(right) = right else {
        return Ok(Checked::WrongPassword(device_id));
    };
    let values = BoxValues {
        serial: right.serial_number,
        imei: right.imei,
        product_key: right.product_key,
        device_id,
    };
    let profiles = &context.settings().mqtt.profiles;
    let vendor = profiles.vendor_box(&right.profile, values).ok_or_else(|| {
        anyhow::anyhow!(
            "{device_id} has the profile {}, which is not known",
            right.profile
        )
    })?;
    Ok(Checked::Right {
        credential: right.credential.unwrap_or_default(),
        vendor: Arc::new(vendor),
    })
}

/// Gives a box of another maker a new password. The one it has ends with the first use of the new one, or after 24 hours. A
/// box that never had one becomes active.
///
/// # Errors
/// [`Noun::Device`] not found; [`Error::InvalidState`] for a box of the contract's own, and for one that is out of service.
pub async fn renew(unit: &mut UnitOfWork, id: DeviceId) -> Result<MqttLogin> {
    let mut device = store::fleet::device::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    if device.profile == NATIVE {
        return Err(Error::InvalidState {
            current: NATIVE.to_owned(),
            message: "a native box has a certificate, which it renews itself".to_owned(),
        });
    }
    let now = unit.now();
    device.status = device.status.activate()?;
    device.activated_at.get_or_insert(now);
    device.updated_at = now;
    store::fleet::device::update(unit.conn(), &device).await?;
    store::fleet::credential::supersede(unit.conn(), id, now + OVERLAP).await?;
    let login = issue(unit, &device).await?;
    unit.audit(
        "device.mqtt_credential",
        id,
        None,
        Some(json!({ "username": login.username })),
    )
    .await?;
    Ok(login)
}

/// Makes a password for a box. The caller holds its row's lock, or has just stored it.
pub(super) async fn issue(unit: &mut UnitOfWork, device: &Device) -> Result<MqttLogin> {
    let settings = unit.context().settings();
    let profiles = &settings.mqtt.profiles;
    let vendor = profiles
        .vendor_box(&device.profile, values(device))
        .ok_or_else(|| Error::InvalidState {
            current: device.profile.clone(),
            message: "this platform does not know the box's profile".to_owned(),
        })?;
    let unusable = |error: ValueError| Error::field("profile", error.to_string());
    let login = vendor.login().map_err(unusable)?;
    let topics = vendor.topics().map_err(unusable)?;
    let made = vendor.password(&rand::random()).map_err(unusable)?;
    let ports = settings.mqtt.ports;
    let (port, tls) = match (ports.password, ports.plain) {
        (Some(port), _) => (port, true),
        (None, Some(port)) => (port, false),
        (None, None) => {
            return Err(Error::InvalidState {
                current: "off".to_owned(),
                message: NO_LISTENER.to_owned(),
            });
        }
    };
    let strength = vendor.password_strength();
    let (password_bits, weaker) = (strength.bits, strength.weaker.map(str::to_owned));
    let host = settings.mqtt.host.clone();
    let credential = format!("pw_{}", unit.uuid().simple());
    let hash = secret::hash(&made.password);
    let now = unit.now();
    store::fleet::password::insert(unit.conn(), device.id, &credential, &hash, now).await?;
    Ok(MqttLogin {
        host,
        port,
        tls,
        plain_port: ports.plain,
        client_id: login.client_id,
        username: login.username,
        password: made.password,
        product_secret: made.product_secret,
        password_bits,
        weaker,
        keep_alive_s: login.keep_alive_s,
        subscribe_topic: topics.subscribe.first().cloned().unwrap_or_default(),
        subscribe_topics: topics.subscribe,
        publish_topics: topics.publish.into_iter().map(|one| one.topic).collect(),
    })
}

/// The user name that a device's profile gives it.
///
/// # Errors
/// A profile that is not known, or that needs what the device does not have.
pub(super) fn user_name(settings: &Settings, device: &Device) -> Result<String> {
    let profiles = &settings.mqtt.profiles;
    let vendor = profiles
        .vendor_box(&device.profile, values(device))
        .ok_or_else(|| Error::field("profile", "is not known"))?;
    let login = vendor
        .login()
        .map_err(|error| Error::field("profile", error.to_string()))?;
    Ok(login.username)
}
