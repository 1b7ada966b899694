//! A QF100 asks for its settings before it joins: it has nothing but its serial number and its IMEI.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wire::{DeviceId, TerminalId};

use super::credentials::{VendorCredentials, VendorDevice};
use super::firmware::{Model, Settings, Told};
use crate::api::{Api, ApiError};

const PATH: &str = "/speaker/dev-config";

/// A box that is to ask.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its serial number.
    pub serial_number: &'a str,
    /// The IMEI of its modem.
    pub imei: &'a str,
    /// Whether it speaks plain MQTT: the answer does not say.
    pub plain: bool,
    /// Its id on the platform, where somebody knows it.
    pub device_id: Option<DeviceId>,
    /// The terminal that it is bound to, where somebody knows it.
    pub terminal_id: Option<TerminalId>,
}

/// What it says of itself. The platform knows it by serial number and IMEI; the rest is as such a box sends it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Request<'a> {
    dev_model: &'static str,
    item_number: &'static str,
    dev_sn: &'a str,
    hardware_config: &'static str,
    fw_version: &'static str,
    fw_build: &'static str,
    app_config_version: &'static str,
    imei: &'a str,
    imsi: &'static str,
    iccid: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    error_code: i64,
    mqtt: Option<Mqtt>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mqtt {
    broker_ip: String,
    broker_port: u16,
    client_id: String,
    user_name: String,
    password: String,
    subscribe_topic: String,
    keep_alive: u16,
}

/// Asks, and keeps the answer in `dir`.
///
/// # Errors
/// The platform lets this box not ask now, or knows it not: it does not tell which.
pub async fn ask(
    api: &Api,
    ca_pem: &str,
    dir: &Path,
    asking: &Asking<'_>,
) -> anyhow::Result<VendorCredentials> {
    let request = serde_json::to_value(Request {
        dev_model: "EDOTF1",
        item_number: "1",
        dev_sn: asking.serial_number,
        hardware_config: "A",
        fw_version: "1.0",
        fw_build: "1",
        app_config_version: "1",
        imei: asking.imei,
        imsi: "510000000000000",
        iccid: "89620000000000000000",
    })?;
    let answer = match api.post(PATH, None, &[], &request).await {
        Err(ApiError::Unexpected { status: 401, .. }) => anyhow::bail!(
            "{} gets no settings: no such box may ask now (POST /admin/devices/{{id}}/bootstrap)",
            asking.serial_number
        ),
        answer => answer?,
    };
    // serde's errors name fields and kinds, and never show the password.
    let answer: Answer = serde_json::from_value(answer).context(PATH)?;
    let mqtt = answer
        .mqtt
        .filter(|_| answer.error_code == 0)
        .with_context(|| format!("{PATH}: error-code {}", answer.error_code))?;
    let device = VendorDevice {
        device_id: asking
            .device_id
            .unwrap_or_else(|| DeviceId::from_uuid(uuid::Uuid::nil())),
        profile: Model::Qf100,
        mqtt_host: mqtt.broker_ip,
        mqtt_port: mqtt.broker_port,
        tls: !asking.plain,
        settings: Settings {
            serial: asking.serial_number.to_owned(),
            imei: asking.imei.to_owned(),
            product_key: String::new(),
            product_secret: String::new(),
            password: mqtt.password,
            told: Some(Told {
                client_id: mqtt.client_id,
                username: mqtt.user_name,
                subscribe_topic: mqtt.subscribe_topic,
                keep_alive_s: mqtt.keep_alive,
            }),
        },
        terminal_id: asking.terminal_id,
    };
    VendorCredentials::create(dir, device, ca_pem)
}
