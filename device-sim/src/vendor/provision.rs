//! Registers a box of another maker as an administrator does, and keeps what the answer shows once.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::{DeviceId, TerminalId};

use super::credentials::{VendorCredentials, VendorDevice};
use super::dev_config::{self, Asking};
use super::firmware::{Model, Settings};
use crate::api::Api;
use crate::clock;
use crate::output::Output;

/// A box that is to be registered.
#[derive(Debug, Clone)]
pub struct NewVendorBox {
    /// Which box.
    pub profile: Model,
    /// Its serial number.
    pub serial_number: String,
    /// The IMEI of its modem.
    pub imei: Option<String>,
    /// The maker's key for the product.
    pub product_key: Option<String>,
    /// The terminal that it is bound to.
    pub terminal_id: Option<TerminalId>,
    /// Whether it speaks plain MQTT.
    pub plain: bool,
    /// Whether it asks for its settings, instead of having typed in what the registration shows.
    pub asks: bool,
}

impl NewVendorBox {
    /// One with values of its own for everything that its kind needs.
    pub fn invented(profile: Model, terminal_id: Option<TerminalId>, plain: bool) -> Self {
        let number = clock::random_uuid().as_u128();
        let digits = |count: u32| {
            format!(
                "{:0width$}",
                number % 10u128.pow(count),
                width = count as usize
            )
        };
        Self {
            profile,
            serial_number: format!("SIM{}", digits(15)),
            imei: Some(digits(15)),
            product_key: Some(format!("pk{}", digits(8))),
            terminal_id,
            plain,
            asks: false,
        }
    }
}

#[derive(Deserialize)]
struct Mqtt {
    host: String,
    port: u16,
    #[serde(default = "yes")]
    tls: bool,
    #[serde(default)]
    plain_port: Option<u16>,
    password: Option<String>,
    #[serde(default)]
    product_secret: Option<String>,
}

const fn yes() -> bool {
    true
}

impl Mqtt {
    /// The port that the box uses, and whether it speaks TLS there.
    fn port(&self, plain: bool) -> anyhow::Result<(u16, bool)> {
        match (plain, self.plain_port) {
            (true, Some(port)) => Ok((port, false)),
            (true, None) if !self.tls => Ok((self.port, false)),
            (true, None) => anyhow::bail!("the platform has no listener for plain MQTT"),
            (false, _) => Ok((self.port, self.tls)),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "provisioned")]
struct Provisioned<'a> {
    device_id: DeviceId,
    serial_number: &'a str,
    profile: Model,
    dir: &'a Path,
    bound: bool,
    already: bool,
}

/// Registers the box in `dir`, unless that is done already.
pub async fn provision(
    api: &Api,
    admin_token: &str,
    ca_pem: &str,
    dir: &Path,
    new: &NewVendorBox,
    output: Output,
) -> anyhow::Result<VendorCredentials> {
    let already = VendorCredentials::exist(dir);
    let credentials = if already {
        VendorCredentials::load(dir)?
    } else {
        register(api, admin_token, ca_pem, dir, new).await?
    };
    let device = &credentials.device;
    anyhow::ensure!(
        device.settings.serial == new.serial_number,
        "{} holds the box {}; choose another --dir",
        dir.display(),
        device.settings.serial
    );
    let event = Provisioned {
        device_id: device.device_id,
        serial_number: &device.settings.serial,
        profile: device.profile,
        dir,
        bound: device.terminal_id.is_some(),
        already,
    };
    output.emit(&event, || {
        let (id, name) = (device.device_id, device.profile.as_str());
        format!("{id} ({name}) is provisioned in {}", dir.display())
    });
    Ok(credentials)
}

/// Registers a box and binds it. When this fails half-way, the box stays registered and a new one is made next time: its
/// password was shown once.
pub async fn register(
    api: &Api,
    admin_token: &str,
    ca_pem: &str,
    dir: &Path,
    new: &NewVendorBox,
) -> anyhow::Result<VendorCredentials> {
    let post = async |path: &str, body: &Value| {
        let key = clock::random_uuid().to_string();
        let headers = [("idempotency-key", key.as_str())];
        api.post(path, Some(admin_token), &headers, body).await
    };
    let body = json!({
        "serial_number": new.serial_number,
        "model": "device-sim",
        "capabilities": new.profile.capabilities(),
        "communication_mode": "mqtt",
        "profile": new.profile,
        "imei": new.imei,
        "product_key": new.product_key,
    });
    let mut answer = post("/admin/devices", &body).await?;
    let data = &mut answer["data"];
    let device_id: DeviceId = data["id"]
        .as_str()
        .or_else(|| data["device"]["id"].as_str())
        .context("the new device has no id")?
        .parse()?;
    let bind = async || match new.terminal_id {
        Some(terminal_id) => {
            let path = format!("/admin/devices/{device_id}/bind");
            let body = json!({ "terminal_id": terminal_id });
            post(&path, &body).await.map(drop)
        }
        None => Ok(()),
    };
    if new.asks {
        anyhow::ensure!(
            new.profile == Model::Qf100,
            "a {} does not ask for its settings",
            new.profile.as_str()
        );
        let path = format!("/admin/devices/{device_id}/bootstrap");
        post(&path, &json!({})).await?;
        bind().await?;
        let asking = Asking {
            serial_number: &new.serial_number,
            imei: new.imei.as_deref().unwrap_or_default(),
            plain: new.plain,
            device_id: Some(device_id),
            terminal_id: new.terminal_id,
        };
        return dev_config::ask(api, ca_pem, dir, &asking).await;
    }
    // serde's errors name fields and kinds, and never show the password.
    let mqtt: Mqtt = serde_json::from_value(data["mqtt"].take())
        .context("the answer has no mqtt with host, port and password")?;
    let (mqtt_port, tls) = mqtt.port(new.plain)?;
    let device = VendorDevice {
        device_id,
        profile: new.profile,
        mqtt_host: mqtt.host,
        mqtt_port,
        tls,
        settings: Settings {
            serial: new.serial_number.clone(),
            imei: new.imei.clone().unwrap_or_default(),
            product_key: new.product_key.clone().unwrap_or_default(),
            product_secret: mqtt.product_secret.unwrap_or_default(),
            password: mqtt.password.context("the password was shown before")?,
            told: None,
        },
        terminal_id: new.terminal_id,
    };
    let credentials = VendorCredentials::create(dir, device, ca_pem)?;
    bind().await?;
    Ok(credentials)
}
