//! Devices: registering boxes, and taking them out of service.

use chrono::{DateTime, Utc};
use domain::box_profile::{BoxValues, Confirmation, NATIVE};
use domain::credential::RevocationReason;
use domain::device::{Capability, CommunicationMode, DeviceStatus, InvalidTransition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use store::fleet::device::Device;
use store::fleet::device_view::{self, DeviceView, Filter};
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::fleet::password::{self, MqttLogin};
use crate::fleet::{config, credential};
use crate::settings::MqttSettings;
use crate::signal::Signal;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork, secret};

/// What a device is registered from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({ "serial_number": "SN-0001", "model": "SB-1", "capabilities": ["speaker"] }))]
pub struct NewDevice {
    #[schema(min_length = 1, max_length = 64)]
    pub serial_number: String,
    #[schema(min_length = 1, max_length = 60)]
    pub model: String,
    #[schema(value_type = Vec<domain::device::Capability>)]
    pub capabilities: Vec<String>,
    #[serde(default)]
    #[schema(value_type = Option<domain::device::CommunicationMode>)]
    pub communication_mode: Option<String>,
    #[serde(default)]
    #[schema(max_items = 20)]
    pub tags: Vec<String>,
    /// How it is spoken to: `native`, which is the default, or the profile of another maker's box.
    #[serde(default)]
    pub profile: Option<String>,
    /// The IMEI of its modem, where the profile needs it.
    #[serde(default)]
    #[schema(pattern = "^[0-9]{14,16}$")]
    pub imei: Option<String>,
    /// The maker's key of the product, where the profile needs it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub product_key: Option<String>,
}

/// A device at the only moment at which its activation code can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Registered {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceView,
    /// The one-time code that activates it; null for a box of another maker, which is active already.
    pub activation_code: Option<String>,
    /// Until when the code is good.
    pub activation_code_expires_at: Option<DateTime<Utc>>,
    /// With what a box of another maker joins by MQTT; null for one of ours.
    pub mqtt: Option<MqttLogin>,
}

/// What an operator changes of a device.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct DevicePatch {
    #[serde(default)]
    #[schema(value_type = Option<domain::device::DeviceStatus>)]
    pub status: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 60)]
    pub model: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<domain::device::Capability>>)]
    pub capabilities: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<domain::device::CommunicationMode>)]
    pub communication_mode: Option<String>,
    /// All of its tags, instead of those that it has.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub tags: Option<Vec<String>>,
    /// Another profile, while the box is registered or suspended: it has no credentials then, and needs new ones.
    #[serde(default)]
    pub profile: Option<String>,
    /// As `profile`.
    #[serde(default)]
    #[schema(pattern = "^[0-9]{14,16}$")]
    pub imei: Option<String>,
    /// As `profile`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub product_key: Option<String>,
}

/// Registers a box that is about to be shipped.
///
/// # Errors
/// Wrong fields; a serial number that is registered already.
pub async fn create(unit: &mut UnitOfWork, new: NewDevice) -> Result<Registered> {
    let mut checks = Checks::default();
    let new = check_new(&mut checks, &unit.context().settings().mqtt, new);
    checks.finish()?;
    store::fleet::config_layer::hold_fleet(unit.conn()).await?;
    let registered = register(unit, new).await?;
    config::refresh(unit, &[registered.device.id]).await?;
    Ok(registered)
}

/// A new box, checked.
pub(super) struct Checked {
    pub(super) serial_number: String,
    model: String,
    capabilities: Vec<Capability>,
    mode: CommunicationMode,
    tags: Vec<String>,
    joining: Joining,
}

/// By which profile a box is spoken to, and what that needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Joining {
    profile: String,
    confirmation: Confirmation,
    imei: Option<String>,
    product_key: Option<String>,
}

/// The rules for a new box; what breaks one is left out and told to `checks`.
pub(super) fn check_new(checks: &mut Checks, mqtt: &MqttSettings, new: NewDevice) -> Checked {
    check_serial_number(checks, &new.serial_number);
    checks.text("model", &new.model, 60);
    let capabilities = check_capabilities(checks, &new.capabilities);
    let mode = new
        .communication_mode
        .as_deref()
        .and_then(|text| checks.parse("communication_mode", text))
        .unwrap_or(CommunicationMode::Mqtt);
    let joining = Joining {
        profile: new.profile.unwrap_or_else(|| NATIVE.to_owned()),
        confirmation: Confirmation::Played,
        imei: new.imei,
        product_key: new.product_key,
    };
    let joining = check_joining(checks, mqtt, &new.serial_number, joining);
    if joining.profile != NATIVE && mode != CommunicationMode::Mqtt {
        checks.refuse("communication_mode", "a box of another maker speaks MQTT");
    }
    Checked {
        serial_number: new.serial_number,
        model: new.model,
        capabilities,
        mode,
        tags: check_tags(checks, &new.tags),
        joining,
    }
}

/// Stores a new box and makes its first activation code, or its password. The caller holds the fleet's layer of configuration, and puts
/// the layers together.
pub(super) async fn register(unit: &mut UnitOfWork, new: Checked) -> Result<Registered> {
    let now = unit.now();
    let device = Device {
        id: DeviceId::from_uuid(unit.uuid()),
        serial_number: new.serial_number,
        model: new.model,
        capabilities: new.capabilities,
        communication_mode: new.mode,
        status: DeviceStatus::Registered,
        payload_encoding: wire::Encoding::Json,
        tags: new.tags,
        profile: new.joining.profile,
        confirmation: new.joining.confirmation,
        imei: new.joining.imei,
        product_key: new.joining.product_key,
        mqtt_user_name: None,
        created_at: now,
        updated_at: now,
        activated_at: None,
    };
    let is_native = device.profile == NATIVE;
    let mut device = device;
    if !is_native {
        device.mqtt_user_name = Some(password::user_name(unit.context().settings(), &device)?);
        device.status = device.status.activate()?;
        device.activated_at = Some(now);
    }
    store::fleet::device::insert(unit.conn(), &device)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "devices_serial_number_unique") {
                Error::duplicate("this serial number is registered already")
            } else if Error::breaks(&error, "devices_mqtt_user_name_unique") {
                Error::duplicate(
                    "another device has the MQTT user name that the profile gives this one",
                )
            } else {
                error.into()
            }
        })?;
    let config = config::defaults(unit.context());
    store::fleet::config::insert(unit.conn(), device.id, &config, now).await?;
    let view = DeviceView::from(device.clone());
    unit.audit("device.create", view.id, None, Some(json!(view)))
        .await?;
    if is_native {
        return issue_code(unit, view).await;
    }
    let login = password::issue(unit, &device).await?;
    Ok(Registered {
        device: view,
        activation_code: None,
        activation_code_expires_at: None,
        mqtt: Some(login),
    })
}

/// Revokes the activation code that is out and issues another: the box lost its key, or was never activated in time.
///
/// # Errors
/// [`Error::InvalidState`] for a box that is out of service.
pub async fn renew_activation_code(unit: &mut UnitOfWork, id: DeviceId) -> Result<Registered> {
    let device = store::fleet::device::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    if device.profile != NATIVE {
        return Err(Error::InvalidState {
            current: device.profile,
            message:
                "a box of another maker is not activated: give it a password (mqtt-credential)"
                    .to_owned(),
        });
    }
    device.status.activate()?;
    let view = view(unit, id).await?;
    unit.audit("device.activation_code", id, None, None).await?;
    issue_code(unit, view).await
}

async fn issue_code(unit: &mut UnitOfWork, device: DeviceView) -> Result<Registered> {
    let code = secret::activation_code();
    let now = unit.now();
    let expires_at = now + unit.context().settings().activation_code_lifetime;
    let row_id = unit.uuid();
    store::fleet::activation::replace(
        unit.conn(),
        row_id,
        device.id,
        &secret::hash(&code),
        now,
        expires_at,
    )
    .await?;
    Ok(Registered {
        device,
        activation_code: Some(code),
        activation_code_expires_at: Some(expires_at),
        mqtt: None,
    })
}

/// One device with what is known of it.
///
/// # Errors
/// [`Noun::Device`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: DeviceId) -> Result<DeviceView> {
    let mut conn = context.pool().acquire().await?;
    find_view(&mut conn, scope, id).await
}

/// The encoding in which a box reads downlinks.
///
/// # Errors
/// [`Noun::Device`] not found.
pub async fn payload_encoding(context: &Context, id: DeviceId) -> Result<wire::Encoding> {
    let mut conn = context.pool().acquire().await?;
    Ok(find(&mut conn, id).await?.payload_encoding)
}

/// One device.
///
/// # Errors
/// [`Noun::Device`] not found.
pub(crate) async fn find(conn: &mut PgConnection, id: DeviceId) -> Result<Device> {
    store::fleet::device::find(conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))
}

/// Devices, newest first.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<DeviceView>> {
    let mut conn = context.lists().acquire().await?;
    let chosen = device_view::choose(&mut conn, scope, filter, page).await?;
    let mut found = device_view::views(&mut conn, scope, &chosen).await?;
    if scope != Scope::All {
        // Tags are operators' words for one another.
        found.iter_mut().for_each(|device| device.tags.clear());
    }
    Ok(found)
}

/// Changes a device. Suspending or retiring it revokes its credentials and ends its session.
///
/// # Errors
/// Wrong fields; [`Error::InvalidState`] for a step its life does not have.
pub async fn patch(unit: &mut UnitOfWork, id: DeviceId, patch: DevicePatch) -> Result<DeviceView> {
    let mut checks = Checks::default();
    let wanted: Option<DeviceStatus> = patch
        .status
        .as_deref()
        .and_then(|text| checks.parse("status", text));
    checks.optional_text("model", patch.model.as_deref(), 60);
    let capabilities = patch
        .capabilities
        .as_deref()
        .map(|given| check_capabilities(&mut checks, given));
    let tags = patch
        .tags
        .as_deref()
        .map(|given| check_tags(&mut checks, given));
    let mode: Option<CommunicationMode> = patch
        .communication_mode
        .as_deref()
        .and_then(|text| checks.parse("communication_mode", text));
    checks.finish()?;
    let mut device = store::fleet::device::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    let before = view(unit, id).await?;
    let current = device.status;
    let joining = Joining {
        profile: patch.profile.unwrap_or_else(|| device.profile.clone()),
        confirmation: device.confirmation,
        imei: patch.imei.or_else(|| device.imei.clone()),
        product_key: patch.product_key.or_else(|| device.product_key.clone()),
    };
    rejoin(unit, &mut device, joining).await?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != current) {
        let next = match wanted {
            DeviceStatus::Suspended => current.suspend(),
            DeviceStatus::Retired => current.retire(),
            // Its credentials stay revoked: it needs a new activation code to come back.
            DeviceStatus::Active => current.reinstate(),
            DeviceStatus::Registered => Err(InvalidTransition { current, wanted }),
        }?;
        device.status = next;
        let reason = match next {
            DeviceStatus::Suspended => Some(RevocationReason::PrivilegeWithdrawn),
            DeviceStatus::Retired => Some(RevocationReason::CessationOfOperation),
            DeviceStatus::Registered | DeviceStatus::Active => None,
        };
        if let Some(reason) = reason {
            credential::revoke_all(unit, id, reason).await?;
        }
    }
    if let Some(model) = patch.model {
        device.model = model;
    }
    if let Some(capabilities) = capabilities {
        device.capabilities = capabilities;
    }
    if let Some(tags) = tags {
        device.tags = tags;
    }
    if let Some(mode) = mode {
        device.communication_mode = mode;
    }
    if device.profile != NATIVE && device.communication_mode != CommunicationMode::Mqtt {
        return Err(Error::field(
            "communication_mode",
            "a box of another maker speaks MQTT",
        ));
    }
    device.updated_at = unit.now();
    store::fleet::device::update(unit.conn(), &device).await?;
    let interval_s = unit.context().settings().heartbeat_interval();
    let now = unit.now();
    store::fleet::presence::judge(unit.conn(), id, interval_s, now).await?;
    let after = view(unit, id).await?;
    unit.audit("device.patch", id, Some(json!(before)), Some(json!(after)))
        .await?;
    Ok(after)
}

/// Lets a box join in another way from now on. It must have no credentials, because those of the earlier way would still be
/// good; what is kept of its session is forgotten, because it has the earlier topics and messages.
async fn rejoin(unit: &mut UnitOfWork, device: &mut Device, joining: Joining) -> Result<()> {
    let present = Joining {
        profile: device.profile.clone(),
        confirmation: device.confirmation,
        imei: device.imei.clone(),
        product_key: device.product_key.clone(),
    };
    if joining == present {
        return Ok(());
    }
    if !matches!(
        device.status,
        DeviceStatus::Registered | DeviceStatus::Suspended
    ) {
        return Err(Error::InvalidState {
            current: device.status.to_string(),
            message:
                "profile, imei and product_key of a box change while it is registered or suspended"
                    .to_owned(),
        });
    }
    let mut checks = Checks::default();
    let mqtt = &unit.context().settings().mqtt;
    let joining = check_joining(&mut checks, mqtt, &device.serial_number, joining);
    checks.finish()?;
    device.profile = joining.profile;
    device.confirmation = joining.confirmation;
    device.imei = joining.imei;
    device.product_key = joining.product_key;
    device.mqtt_user_name = match device.profile.as_str() {
        NATIVE => None,
        _ => Some(password::user_name(unit.context().settings(), device)?),
    };
    let now = unit.now();
    store::fleet::activation::revoke(unit.conn(), device.id, now).await?;
    store::fleet::session::forget(unit.conn(), device.id).await?;
    unit.signal(Signal::Purge(device.id));
    Ok(())
}

/// The rules of the profile that a box is to have.
fn check_joining(
    checks: &mut Checks,
    mqtt: &MqttSettings,
    serial_number: &str,
    mut joining: Joining,
) -> Joining {
    let is_imei = |text: &str| {
        (14..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if joining.imei.as_deref().is_some_and(|imei| !is_imei(imei)) {
        checks.refuse("imei", "14 to 16 digits");
    }
    checks.optional_text("product_key", joining.product_key.as_deref(), 64);
    if joining.profile == NATIVE {
        joining.confirmation = Confirmation::Played;
        return joining;
    }
    // The id is not known yet, and never missing.
    let values = BoxValues {
        serial: serial_number.to_owned(),
        imei: joining.imei.clone(),
        product_key: joining.product_key.clone(),
        device_id: DeviceId::from_uuid(uuid::Uuid::nil()),
    };
    let Some(vendor) = mqtt.profiles.vendor_box(&joining.profile, values) else {
        let known: Vec<&str> = std::iter::once(NATIVE)
            .chain(mqtt.profiles.names())
            .collect();
        checks.refuse("profile", format!("one of {}", known.join(", ")));
        return joining;
    };
    joining.confirmation = vendor.profile.confirmation();
    if let Err(error) = vendor.login().and(vendor.topics().map(drop)) {
        checks.refuse("profile", error.to_string());
    }
    let ports = mqtt.ports;
    if ports.password.is_none() && ports.plain.is_none() {
        checks.refuse("profile", password::NO_LISTENER);
    }
    joining
}

pub(crate) async fn view(unit: &mut UnitOfWork, id: DeviceId) -> Result<DeviceView> {
    find_view(unit.conn(), Scope::All, id).await
}

async fn find_view(conn: &mut PgConnection, scope: Scope, id: DeviceId) -> Result<DeviceView> {
    let mut found = device_view::views(conn, scope, &[id]).await?;
    found.pop().ok_or(Error::NotFound(Noun::Device))
}

pub(crate) fn check_serial_number(checks: &mut Checks, serial_number: &str) {
    let plain = serial_number
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !plain || !(1..=64).contains(&serial_number.len()) {
        checks.refuse(
            "serial_number",
            "1 to 64 letters, digits, hyphens, underscores or points",
        );
    }
}

fn check_tags(checks: &mut Checks, given: &[String]) -> Vec<String> {
    domain::tag::check(given).unwrap_or_else(|error| {
        checks.refuse(&error.field, error.message);
        Vec::new()
    })
}

/// Each capability once, in the order of their words.
fn check_capabilities(checks: &mut Checks, given: &[String]) -> Vec<Capability> {
    let mut known: Vec<Capability> = given
        .iter()
        .filter_map(|text| checks.parse("capabilities", text))
        .collect();
    known.sort_unstable_by_key(|capability| capability.as_str());
    known.dedup();
    known
}
