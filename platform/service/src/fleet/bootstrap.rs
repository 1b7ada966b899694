//! A box of another maker asks for its settings, as its firmware does before it can join by MQTT.
//!
//! It proves nothing: serial number and IMEI stand on its label, and whoever has read them can ask in its place, gets a
//! password, and with that takes over its session and hears its payments. So nobody may ask until an operator opens it
//! for this box, for a time and a number of calls; each call makes another password, is in the audit log with its
//! address, and the password that the box had ends with the first use of the new one, so that a stranger who uses his is
//! noticed: the session of the box ends. Wrong calls are counted as wrong activation codes are.

use chrono::TimeDelta;
use domain::box_profile::Bootstrap as How;
use domain::credential::OVERLAP;
use serde::Deserialize;
use serde_json::json;
use store::fleet::activation::Failure;
use store::fleet::bootstrap::Bootstrap;
use store::fleet::device::Device;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::fleet::device;
use crate::fleet::password::{self, MqttLogin};
use crate::fleet::provisioning::{count_failure, throttle};
use crate::{Actor, Checks, Context, Error, Noun, Result, UnitOfWork};

/// For how long it is opened unless the operator says otherwise, minutes.
const MINUTES: u32 = 60;
/// The longest: a year, for boxes that ask at every start and reach the platform only through a network of its owner.
const MINUTES_MAX: u32 = 366 * 24 * 60;
/// How many calls are allowed unless the operator says otherwise: a box repeats one whose answer was lost.
const CALLS: u32 = 3;
/// The most.
const CALLS_MAX: u32 = 10_000;

const UNKNOWN: Error = Error::DeviceUnauthorized(
    "no box with this serial number and IMEI may ask for its settings now",
);

/// What an operator allows.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BootstrapOpening)]
pub struct Opening {
    /// For how long, minutes; 60 unless said otherwise, 0 to end it.
    #[serde(default)]
    #[schema(maximum = 527_040)]
    pub minutes: Option<u32>,
    /// How many calls; 3 unless said otherwise.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub calls: Option<u32>,
}

/// What a box says of itself when it asks. Everything but `dev-sn` and `imei` may be missing, and has no effect.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DevConfigRequest)]
pub struct Request {
    /// Its serial number.
    pub dev_sn: String,
    /// The IMEI of its modem.
    pub imei: String,
}

/// Lets a box ask for its settings.
///
/// # Errors
/// [`Noun::Device`] not found; [`Error::InvalidState`] for a box that does not ask, or has no IMEI to be known by.
pub async fn open(unit: &mut UnitOfWork, id: DeviceId, opening: Opening) -> Result<Bootstrap> {
    let minutes = opening.minutes.unwrap_or(MINUTES);
    let calls = opening.calls.unwrap_or(CALLS);
    let mut checks = Checks::default();
    if minutes > MINUTES_MAX {
        checks.refuse("minutes", format!("at most {MINUTES_MAX}"));
    }
    if !(1..=CALLS_MAX).contains(&calls) {
        checks.refuse("calls", format!("from 1 to {CALLS_MAX}"));
    }
    checks.finish()?;
    let device = store::fleet::device::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    unit.refresh_now();
    if !asks(unit.context(), &device) {
        return Err(Error::InvalidState {
            current: device.profile,
            message: "boxes of this profile do not ask for their settings".to_owned(),
        });
    }
    if device.imei.is_none() {
        return Err(Error::InvalidState {
            current: device.status.to_string(),
            message: "the box is registered without an IMEI, by which it would be known".to_owned(),
        });
    }
    let now = unit.now();
    let until = now + TimeDelta::minutes(minutes.into());
    let by = unit.actor_name().to_owned();
    let calls = calls.cast_signed();
    let opened = store::fleet::bootstrap::open(unit.conn(), id, until, calls, &by, now).await?;
    unit.audit("device.bootstrap_open", id, None, Some(json!(opened)))
        .await?;
    Ok(opened)
}

/// The settings of a box, with a new password. `address`: where it asks from, as [`super::provisioning::activate`] has it.
///
/// # Errors
/// [`Error::DeviceUnauthorized`] for a box that is not known, or may not ask now: which of these is not told;
/// [`Error::RateLimited`] after too many wrong calls.
pub async fn ask(
    context: &Context,
    request: Request,
    address: Option<String>,
    request_id: Option<String>,
) -> Result<MqttLogin> {
    let mut checks = Checks::default();
    device::check_serial_number(&mut checks, &request.dev_sn);
    if checks.finish().is_err() {
        // No box has it, and it would be kept with the wrong calls.
        return Err(UNKNOWN);
    }
    let attempt = Failure {
        serial_number: &request.dev_sn,
        address: address.as_deref(),
    };
    let mut unit = context
        .begin(Actor {
            name: request.dev_sn.clone(),
            request_id,
        })
        .await?;
    throttle(&mut unit, attempt).await?;
    let Some(device) = allowed(&mut unit, &request, address.as_deref()).await? else {
        drop(unit);
        count_failure(context, attempt).await?;
        return Err(UNKNOWN);
    };
    let now = unit.now();
    store::fleet::credential::supersede(unit.conn(), device.id, now + OVERLAP).await?;
    let login = password::issue(&mut unit, &device).await?;
    unit.audit(
        "device.bootstrap",
        device.id,
        None,
        Some(json!({ "username": login.username, "address": address })),
    )
    .await?;
    unit.commit().await?;
    Ok(login)
}

/// The box, if it may ask now; its row locked, and the call counted.
async fn allowed(
    unit: &mut UnitOfWork,
    request: &Request,
    address: Option<&str>,
) -> Result<Option<Device>> {
    let serial_number = &request.dev_sn;
    let found = store::fleet::device::lock_by_serial(unit.conn(), serial_number).await?;
    unit.refresh_now();
    let is_it = |device: &Device| {
        device.imei.as_deref() == Some(request.imei.trim()) && device.status.may_connect()
    };
    let Some(device) = found.filter(is_it) else {
        return Ok(None);
    };
    if !asks(unit.context(), &device) {
        return Ok(None);
    }
    let now = unit.now();
    let counted = store::fleet::bootstrap::call(unit.conn(), device.id, address, now).await?;
    Ok(counted.then_some(device))
}

fn asks(context: &Context, device: &Device) -> bool {
    let profiles = &context.settings().mqtt.profiles;
    let profile = profiles.get(&device.profile);
    profile.is_some_and(|profile| profile.bootstrap() == Some(How::DevConfig))
}
