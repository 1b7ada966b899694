//! Creates the boxes of a fleet: registers and binds them through the admin API, then activates each as the box.

use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::{DeviceId, Encoding, TerminalId};

use super::fleet_box::FleetBox;
use super::progress;
use crate::api::Api;
use crate::clock;
use crate::credentials;
use crate::link::Transport;
use crate::output::Output;
use crate::provision::{self, Activation};
use crate::vendor::firmware::Model;
use crate::vendor::provision::{NewVendorBox, register};

/// Activations at a time.
const ACTIVATIONS_AT_ONCE: usize = 8;

const REGISTRATION_FILE: &str = "registration.json";

/// How missing boxes are created. It has no `Debug`: it holds a token.
pub struct Registrar {
    /// The server.
    pub api: Api,
    /// The CA certificates that the boxes will trust.
    pub ca_pem: String,
    /// An administrator's token.
    pub admin_token: String,
    /// The terminals that the boxes are bound to, in turn; empty leaves them unbound.
    pub terminals: Vec<TerminalId>,
    /// How many of them (the first ones) are registered for HTTP; the others are for MQTT.
    pub http: usize,
    /// The payload encoding.
    pub encoding: Encoding,
    /// The firmware version that they report.
    pub firmware_version: String,
    /// The maker's box that they are; boxes that speak the contract without it.
    pub vendor: Option<VendorKind>,
}

/// Boxes of another maker.
#[derive(Debug, Clone, Copy)]
pub struct VendorKind {
    /// Which box.
    pub profile: Model,
    /// Whether they speak plain MQTT.
    pub plain: bool,
    /// Whether they ask for their settings.
    pub asks: bool,
}

/// A box that is registered and not yet activated; stored so that a later run can finish it.
#[derive(Serialize, Deserialize)]
struct Registration {
    serial_number: String,
    activation_code: String,
    terminal_id: Option<TerminalId>,
}

/// The credentials of `count` boxes in `dir`; missing ones are created.
pub async fn prepare(
    dir: &Path,
    count: usize,
    registrar: Option<&Registrar>,
    output: Output,
) -> anyhow::Result<Vec<FleetBox>> {
    let bar = progress(output, count, "provisioning");
    let boxes =
        stream::iter((0..count).map(|number| (number, dir.join(format!("box-{number:05}")))))
            .map(|(number, dir)| {
                let bar = bar.clone();
                async move {
                    let credentials = if FleetBox::exist(&dir) {
                        let transport = registrar
                            .map_or(Transport::Mqtt, |registrar| registrar.transport(number));
                        FleetBox::load(&dir, transport)?
                    } else {
                        let registrar = registrar.with_context(|| {
                    format!(
                        "{} is not provisioned; give --url, --ca and --admin-token to create it",
                        dir.display()
                    )
                })?;
                        registrar.create(number, &dir).await?
                    };
                    bar.inc(1);
                    anyhow::Ok(credentials)
                }
            })
            .buffered(ACTIVATIONS_AT_ONCE)
            .try_collect()
            .await?;
    bar.finish_and_clear();
    Ok(boxes)
}

impl Registrar {
    /// The transport of the box with this number.
    pub fn transport(&self, number: usize) -> Transport {
        if number < self.http {
            Transport::Http
        } else {
            Transport::Mqtt
        }
    }

    /// The terminal of the box with this number.
    fn terminal(&self, number: usize) -> Option<TerminalId> {
        match self.terminals.len() {
            0 => None,
            count => self.terminals.get(number % count).copied(),
        }
    }

    async fn create(&self, number: usize, dir: &Path) -> anyhow::Result<FleetBox> {
        if let Some(kind) = self.vendor {
            let terminal = self.terminal(number);
            let new = NewVendorBox {
                asks: kind.asks,
                ..NewVendorBox::invented(kind.profile, terminal, kind.plain)
            };
            let made = register(&self.api, &self.admin_token, &self.ca_pem, dir, &new).await?;
            return Ok(FleetBox::Vendor(made));
        }
        credentials::make_dir(dir)?;
        let file: PathBuf = dir.join(REGISTRATION_FILE);
        let registration = match std::fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| file.display().to_string())?
            }
            Err(_) => {
                let registration = self.register(number).await?;
                credentials::write(
                    dir,
                    REGISTRATION_FILE,
                    &serde_json::to_vec(&registration)?,
                    0o600,
                )?;
                registration
            }
        };
        let activation = Activation {
            serial_number: registration.serial_number,
            activation_code: registration.activation_code,
            payload_encoding: self.encoding,
            firmware_version: self.firmware_version.clone(),
            terminal_id: registration.terminal_id,
        };
        let (credentials, _) =
            provision::activate(&self.api, &self.ca_pem, dir, &activation).await?;
        std::fs::remove_file(&file)?;
        Ok(FleetBox::Native(credentials, self.transport(number)))
    }

    async fn register(&self, number: usize) -> anyhow::Result<Registration> {
        let token = Some(self.admin_token.as_str());
        let transport = self.transport(number);
        let serial_number = format!("SIM-{}", clock::random_uuid().simple());
        let key = clock::random_uuid().to_string();
        let body = json!({
            "serial_number": serial_number,
            "model": "device-sim",
            "capabilities": ["speaker", "display", "dynamic_qr"],
            "communication_mode": transport.as_str(),
        });
        let answer = self
            .api
            .post("/admin/devices", token, &[("idempotency-key", &key)], &body)
            .await?;
        let data = &answer["data"];
        let device_id: DeviceId = data["id"]
            .as_str()
            .or_else(|| data["device"]["id"].as_str())
            .context("the new device has no id")?
            .parse()?;
        let activation_code = data["activation_code"]
            .as_str()
            .context("the new device has no activation_code")?
            .to_owned();
        let terminal_id = self.terminal(number);
        if let Some(terminal_id) = terminal_id {
            let path = format!("/admin/devices/{device_id}/bind");
            let key = clock::random_uuid().to_string();
            let body = json!({ "terminal_id": terminal_id });
            self.api
                .post(&path, token, &[("idempotency-key", &key)], &body)
                .await?;
        }
        Ok(Registration {
            serial_number,
            activation_code,
            terminal_id,
        })
    }
}
