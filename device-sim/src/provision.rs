//! `provision`: generates a box's key, requests its certificate and writes its credentials directory.
//!
//! The key is on disk before the first request, so that the request can be repeated with the same key when its answer
//! is lost: the platform accepts that until the credentials are first used, and accepts no other key.

use std::fs;
use std::path::Path;

use anyhow::Context;
use certs::csr::{KeyAndCsr, KeyKind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::{BindingId, DeviceId, Encoding, TerminalId, VerifyingKeys};

use crate::api::{Api, ApiError};
use crate::clock;
use crate::credentials::{self, CA_FILE, Credentials, Device, KEY_FILE, Renewed};
use crate::output::Output;

const REFRESH_PATH: &str = "/device/provision/refresh-credential";

/// What a box needs to be activated. It has no `Debug`: it holds the activation code.
#[derive(Clone)]
pub struct Activation {
    /// The serial number printed on the box.
    pub serial_number: String,
    /// The one-time activation code.
    pub activation_code: String,
    /// The payload encoding.
    pub payload_encoding: Encoding,
    /// The firmware version that it reports.
    pub firmware_version: String,
    /// The terminal, if it is known.
    pub terminal_id: Option<TerminalId>,
}

#[derive(Deserialize)]
struct Answer {
    device_id: DeviceId,
    certificate: String,
    ca_chain: String,
    certificate_expires_at: DateTime<Utc>,
    device_token: String,
    #[serde(default)]
    token_expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    server_time: Option<DateTime<Utc>>,
    announcement_keys: VerifyingKeys,
    binding_id: Option<BindingId>,
    mqtt: Mqtt,
    #[serde(default)]
    config_version: i64,
    #[serde(default)]
    config: Value,
}

impl Answer {
    fn read(mut answer: Value) -> anyhow::Result<Self> {
        // serde's errors name fields and kinds, and never show the token.
        serde_json::from_value(answer["data"].take())
            .context("the answer with the credentials is not in the expected form")
    }

    fn chain(&self) -> anyhow::Result<String> {
        let chain = format!("{}\n{}", self.certificate.trim_end(), self.ca_chain);
        certs::tls::chain_from_pem(&chain).context("the received certificate chain is invalid")?;
        Ok(chain)
    }

    /// When a third of the lifetime is left, of the certificate or the token, whichever expires first.
    fn renew_after(&self) -> DateTime<Utc> {
        let ends = match self.token_expires_at {
            Some(token) => token.min(self.certificate_expires_at),
            None => self.certificate_expires_at,
        };
        let begins = self.server_time.unwrap_or_else(clock::now);
        begins + (ends - begins) / 3 * 2
    }
}

#[derive(Deserialize)]
struct Mqtt {
    host: String,
    port: u16,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Provisioned {
        device_id: DeviceId,
        serial_number: &'a str,
        dir: &'a Path,
        certificate_expires_at: Option<DateTime<Utc>>,
        bound: bool,
        already: bool,
    },
}

/// Provisions the box in `dir`, unless it is provisioned already.
pub async fn provision(
    api: &Api,
    ca_pem: &str,
    dir: &Path,
    activation: &Activation,
    output: Output,
) -> anyhow::Result<Credentials> {
    let (credentials, certificate_expires_at) = if Credentials::exist(dir) {
        let credentials = Credentials::load(dir)?;
        must_be_this_box(&credentials, ca_pem, dir, activation)?;
        (credentials, None)
    } else {
        let (credentials, expires_at) = activate(api, ca_pem, dir, activation).await?;
        (credentials, Some(expires_at))
    };
    let device = &credentials.device;
    let event = OutputEvent::Provisioned {
        device_id: device.device_id,
        serial_number: &device.serial_number,
        dir,
        certificate_expires_at,
        bound: device.binding_id.is_some(),
        already: certificate_expires_at.is_none(),
    };
    output.emit(&event, || match certificate_expires_at {
        Some(expires_at) => {
            format!(
                "{} is provisioned in {}; its certificate expires {expires_at}",
                device.device_id,
                dir.display()
            )
        }
        None => format!(
            "{} is already provisioned in {}",
            device.device_id,
            dir.display()
        ),
    });
    Ok(credentials)
}

/// Refuses a directory that holds another box or a box of another platform.
fn must_be_this_box(
    credentials: &Credentials,
    ca_pem: &str,
    dir: &Path,
    activation: &Activation,
) -> anyhow::Result<()> {
    let serial_number = &credentials.device.serial_number;
    anyhow::ensure!(
        *serial_number == activation.serial_number,
        "{} holds the box {serial_number}, not {}; choose another --dir",
        dir.display(),
        activation.serial_number
    );
    let known_ca = dir.join(CA_FILE);
    let known = fs::read_to_string(&known_ca).with_context(|| known_ca.display().to_string())?;
    anyhow::ensure!(
        known.trim() == ca_pem.trim(),
        "{} holds {serial_number} of another platform with another CA; choose another --dir",
        dir.display()
    );
    Ok(())
}

/// Activates the box and writes its credentials directory.
pub async fn activate(
    api: &Api,
    ca_pem: &str,
    dir: &Path,
    activation: &Activation,
) -> anyhow::Result<(Credentials, DateTime<Utc>)> {
    credentials::make_dir(dir)?;
    let key_path = dir.join(KEY_FILE);
    let request = if key_path.exists() {
        let pem = fs::read_to_string(&key_path).with_context(|| key_path.display().to_string())?;
        KeyAndCsr::from_key_pem(&pem, &activation.serial_number)?
    } else {
        let request = KeyAndCsr::generate(KeyKind::P256, &activation.serial_number)?;
        credentials::write(dir, KEY_FILE, request.key_pem().as_bytes(), 0o600)?;
        request
    };
    let body = json!({
        "serial_number": activation.serial_number,
        "activation_code": activation.activation_code,
        "csr": request.csr_pem(),
        "firmware_version": activation.firmware_version,
        "payload_encoding": activation.payload_encoding,
    });
    let answer = api
        .post("/device/provision/activate", None, &[], &body)
        .await?;
    let answer = Answer::read(answer)?;
    let chain = answer.chain()?;
    let renew_after = answer.renew_after();
    let device = Device {
        device_id: answer.device_id,
        serial_number: activation.serial_number.clone(),
        firmware_version: activation.firmware_version.clone(),
        device_token: answer.device_token,
        api_url: api.base().to_owned(),
        mqtt_host: answer.mqtt.host,
        mqtt_port: answer.mqtt.port,
        announcement_keys: answer.announcement_keys,
        binding_id: answer.binding_id,
        terminal_id: activation.terminal_id,
        payload_encoding: activation.payload_encoding,
        config_version: answer.config_version,
        config: answer.config,
        renew_after: Some(renew_after),
    };
    let credentials = Credentials::create(dir, device, &chain, ca_pem)?;
    Ok((credentials, answer.certificate_expires_at))
}

/// Requests renewed credentials with the token, or with the certificate when the token is no longer accepted.
///
/// # Errors
/// Credentials that cannot be used, a refusal, or no answer. The old credentials stay valid.
pub async fn renew(credentials: &Credentials) -> anyhow::Result<Renewed> {
    let device = &credentials.device;
    let request = KeyAndCsr::from_key_pem(&credentials.key_pem()?, &device.serial_number)?;
    let body = json!({ "csr": request.csr_pem() });
    let by_token = credentials
        .api()?
        .post(REFRESH_PATH, Some(&device.device_token), &[], &body)
        .await;
    let answer = match by_token {
        Err(ApiError::Refused { status: 401, .. }) => {
            let api = credentials.api_by_certificate()?;
            api.post(REFRESH_PATH, None, &[], &body).await?
        }
        answer => answer?,
    };
    let answer = Answer::read(answer)?;
    anyhow::ensure!(
        answer.device_id == device.device_id,
        "the received credentials are those of another box"
    );
    Ok(Renewed {
        chain_pem: answer.chain()?,
        renew_after: answer.renew_after(),
        device_token: answer.device_token,
        announcement_keys: answer.announcement_keys,
        certificate_expires_at: answer.certificate_expires_at,
    })
}
