//! Provisioning: a box that presents its activation code gets a certificate for the key it made itself, and later a
//! successor of that certificate.

use certs::csr::Csr;
use certs::serial::Serial;
use chrono::{DateTime, TimeDelta, Utc};
use domain::box_profile::NATIVE;
use domain::credential::{OVERLAP, RevocationReason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::fleet::activation::Failure;
use store::fleet::credential::Credential;
use store::fleet::device::Device;
use utoipa::ToSchema;
use wire::ids::{BindingId, DeviceId};
use wire::{Channel, Encoding, Topic, VerifyingKeys};

use crate::fleet::{config, credential, device};
use crate::people::token;
use crate::{Actor, Checks, Context, Error, Noun, Result, UnitOfWork, secret};

/// What a box sends to be activated.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Activation {
    #[schema(min_length = 1, max_length = 64)]
    pub serial_number: String,
    #[schema(min_length = 1, max_length = 64)]
    pub activation_code: String,
    pub csr: String,
    #[serde(default, deserialize_with = "wire::lenient::short::<64, _>")]
    #[schema(max_length = 64)]
    pub firmware_version: Option<String>,
    #[serde(default)]
    #[schema(pattern = "^(json|msgpack)$")]
    pub payload_encoding: Option<String>,
}

/// What a box sends to get new credentials, for the same key or a new one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Renewal {
    pub csr: String,
}

/// Where and as whom a box connects by MQTT.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct MqttAccess {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub topics: Topics,
}

/// The topics of one box.
#[derive(Debug, Serialize, ToSchema)]
pub struct Topics {
    /// Those it publishes to.
    pub publish: Vec<String>,
    /// Those it subscribes to.
    pub subscribe: Vec<String>,
}

/// Everything a box needs to work.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Activated {
    pub device_id: DeviceId,
    pub certificate: String,
    pub ca_chain: String,
    pub certificate_expires_at: DateTime<Utc>,
    #[schema(value_type = Option<String>)]
    pub device_token: String,
    pub token_expires_at: DateTime<Utc>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub announcement_keys: VerifyingKeys,
    #[schema(value_type = String)]
    pub payload_encoding: Encoding,
    pub binding_id: Option<BindingId>,
    pub mqtt: MqttAccess,
    #[schema(value_type = Object)]
    pub config: Value,
    pub config_version: i64,
    pub server_time: DateTime<Utc>,
}

/// How long a wrong activation code counts.
const FAILURES_COUNT_FOR: TimeDelta = TimeDelta::hours(1);

const WRONG_CODE: Error =
    Error::DeviceUnauthorized("the serial number and activation code do not belong together");

/// Activates a box. Repeating it with the same code and key is safe until the credential was used. `address` is where
/// the request came from, as far as throttling is concerned: wrong codes count for the serial number together with it,
/// so that one caller cannot use up the attempts of another's box.
///
/// # Errors
/// Wrong fields, a CSR that does not verify; [`Error::DeviceUnauthorized`] for a wrong, expired or used
/// code; [`Error::RateLimited`] after too many wrong ones.
pub async fn activate(
    context: &Context,
    request: Activation,
    address: Option<String>,
    request_id: Option<String>,
) -> Result<Activated> {
    let mut checks = Checks::default();
    device::check_serial_number(&mut checks, &request.serial_number);
    checks.text("activation_code", &request.activation_code, 64);
    let encoding = match request.payload_encoding.as_deref() {
        None | Some("" | "json") => Encoding::Json,
        Some("msgpack") => Encoding::Msgpack,
        Some(_) => {
            checks.refuse("payload_encoding", "json or msgpack");
            Encoding::Json
        }
    };
    let rsa_keys = context.settings().rsa_device_keys;
    let csr = Csr::parse_verified_accepting(&request.csr, rsa_keys)
        .map_err(|error| checks.refuse("csr", error.to_string()))
        .ok();
    checks.finish()?;
    let csr = csr.ok_or_else(|| Error::field("csr", "is required"))?;

    let mut unit = context
        .begin(Actor {
            name: request.serial_number.clone(),
            request_id,
        })
        .await?;
    let attempt = Failure {
        serial_number: &request.serial_number,
        address: address.as_deref(),
    };
    throttle(&mut unit, attempt).await?;
    let Some((mut found, code_id)) = authorise(&mut unit, &request, &csr).await? else {
        drop(unit);
        count_failure(context, attempt).await?;
        return Err(WRONG_CODE);
    };
    let now = unit.now();
    found.status = found.status.activate()?;
    found.payload_encoding = encoding;
    found.activated_at.get_or_insert(now);
    found.updated_at = now;
    store::fleet::device::update(unit.conn(), &found).await?;
    store::fleet::activation::mark_used(unit.conn(), code_id, &csr.public_key_sha256(), now)
        .await?;
    // Whatever was issued before under another key, or for a lost answer, is replaced.
    credential::revoke_all(&mut unit, found.id, RevocationReason::Superseded).await?;
    let activated = issue(&mut unit, &found, &csr).await?;
    unit.audit(
        "device.activate",
        found.id,
        None,
        Some(json!({ "payload_encoding": found.payload_encoding })),
    )
    .await?;
    unit.commit().await?;
    Ok(activated)
}

/// Gives a box new credentials. The old certificate ends with the first use of the new certificate, the old token with
/// that of the new token, and both after 24 hours, so that a lost answer locks no box out.
///
/// # Errors
/// A CSR that does not verify; [`Error::DeviceUnauthorized`] for a box that is out of service.
pub async fn refresh(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request: Renewal,
) -> Result<Activated> {
    let rsa_keys = unit.context().settings().rsa_device_keys;
    let csr = Csr::parse_verified_accepting(&request.csr, rsa_keys)
        .map_err(|error| Error::field("csr", error.to_string()))?;
    let found = store::fleet::device::lock(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    if !found.status.may_connect() {
        return Err(Error::DeviceUnauthorized("the device is out of service"));
    }
    unit.refresh_now();
    let now = unit.now();
    store::fleet::credential::supersede(unit.conn(), device_id, now + OVERLAP).await?;
    store::people::token::supersede_device(unit.conn(), device_id, now + OVERLAP).await?;
    // A box that can renew has what its activation gave it: the activation code is not needed any more.
    store::fleet::activation::revoke_used(unit.conn(), device_id, now).await?;
    let renewed = issue(unit, &found, &csr).await?;
    unit.audit(
        "device.refresh_credential",
        device_id,
        None,
        Some(json!({ "certificate_expires_at": renewed.certificate_expires_at })),
    )
    .await?;
    Ok(renewed)
}

/// Refuses an attempt after too many wrong ones.
pub(super) async fn throttle(unit: &mut UnitOfWork, attempt: Failure<'_>) -> Result<()> {
    let since = unit.now() - FAILURES_COUNT_FOR;
    let settings = unit.context().settings();
    let (per_pair, per_address) = (
        settings.activation_failures_max,
        settings.activation_failures_per_address_max,
    );
    let conn = unit.conn();
    let of_pair = store::fleet::activation::nth_of_pair(conn, attempt, since, per_pair).await?;
    let of_address =
        store::fleet::activation::nth_of_address(conn, attempt, since, per_address).await?;
    // The oldest that counts must have left the window.
    match of_pair.max(of_address) {
        None => Ok(()),
        Some(oldest) => Err(Error::RateLimited {
            message: "too many wrong activation codes",
            retry_after_s: u32::try_from((oldest - since).num_seconds() + 1).unwrap_or(1),
        }),
    }
}

/// The device and its code's row, if serial number, code and key may be used together now.
async fn authorise(
    unit: &mut UnitOfWork,
    request: &Activation,
    csr: &Csr,
) -> Result<Option<(Device, uuid::Uuid)>> {
    let now = unit.now();
    let Some(found) =
        store::fleet::device::lock_by_serial(unit.conn(), &request.serial_number).await?
    else {
        return Ok(None);
    };
    if found.profile != NATIVE {
        return Ok(None);
    }
    let Some(code) = store::fleet::activation::find_open(unit.conn(), found.id).await? else {
        return Ok(None);
    };
    let given = secret::hash(&request.activation_code.trim().to_ascii_uppercase());
    let right: bool =
        subtle::ConstantTimeEq::ct_eq(given.as_slice(), code.code_hash.as_slice()).into();
    if !right || code.expires_at <= now {
        return Ok(None);
    }
    if let Some(key) = &code.used_public_key_sha256 {
        let credential = store::fleet::credential::find_newest(unit.conn(), found.id).await?;
        // The first use of either counts, certificate or token: a box on HTTP may never present the certificate.
        let untouched = credential.is_some_and(|credential| credential.first_used_at.is_none())
            && !store::people::token::device_has_used_one(unit.conn(), found.id).await?;
        if *key != csr.public_key_sha256() || !untouched {
            return Ok(None);
        }
    }
    Ok(Some((found, code.id)))
}

/// The failure is counted in a transaction of its own, since the activation's is undone; never more than count.
pub(super) async fn count_failure(context: &Context, attempt: Failure<'_>) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    store::fleet::activation::serialise(unit.conn(), attempt).await?;
    unit.refresh_now();
    throttle(&mut unit, attempt).await?;
    let now = unit.now();
    store::fleet::activation::record_failure(unit.conn(), attempt, now).await?;
    unit.commit().await?;
    Ok(())
}

/// Issues certificate and token for a key.
async fn issue(unit: &mut UnitOfWork, found: &Device, csr: &Csr) -> Result<Activated> {
    let now = unit.now();
    let context = unit.context().clone();
    let settings = context.settings();
    let issued = context
        .ca()?
        .issue_device(
            csr,
            found.id,
            now,
            settings.certificate_lifetime,
            Serial::random().map_err(anyhow::Error::from)?,
        )
        .map_err(anyhow::Error::from)?;
    let credential = Credential {
        certificate_serial: issued.serial_hex.clone(),
        public_key_sha256: csr.public_key_sha256(),
        certificate_pem: issued.chain_pem.clone(),
        not_after: issued.not_after,
        first_used_at: None,
    };
    store::fleet::credential::insert(unit.conn(), found.id, &credential, now).await?;
    let token = token::create_for_device(unit, found.id, &credential.certificate_serial).await?;
    let desired = config::find(unit.conn(), found.id).await?;
    let topics = |channels: &[Channel]| {
        channels
            .iter()
            .map(|channel| Topic::new(found.id, *channel).to_string())
            .collect()
    };
    Ok(Activated {
        device_id: found.id,
        certificate: issued.pem,
        ca_chain: context.ca()?.ca_chain_pem(),
        certificate_expires_at: issued.not_after,
        device_token: token.token,
        token_expires_at: token.expires_at,
        announcement_keys: context.announcement_keys()?.clone(),
        payload_encoding: found.payload_encoding,
        binding_id: desired.binding_id,
        mqtt: MqttAccess {
            host: settings.mqtt.host.clone(),
            port: settings.mqtt.ports.certificate,
            client_id: found.id.to_string(),
            topics: Topics {
                publish: topics(&Channel::UPLINKS),
                subscribe: topics(&Channel::DOWNLINKS),
            },
        },
        config: desired.config,
        config_version: desired.version,
        server_time: now,
    })
}
