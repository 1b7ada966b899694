//! A box for measurements: registered, placed if it is to be paid, activated, connected.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use certs::csr::{KeyAndCsr, KeyKind};
use certs::tls;
use rustls::ClientConfig;
use serde_json::json;
use wire::{DeviceId, VerifyingKeys};

use crate::api::Api;
use crate::line::{Dial, Line};
use crate::server::Server;
use crate::shop::text;

/// A box that can connect.
pub struct Provisioned {
    /// Who it is.
    pub device_id: DeviceId,
    /// Who signs what it is told.
    pub keys: VerifyingKeys,
    /// HTTPS, with its token.
    pub api: Api,
    /// TLS, with its certificate.
    pub tls: Arc<ClientConfig>,
}

impl Provisioned {
    /// Makes the box of this number through the public API; in an outlet, at a till of its own, if it is to be paid.
    ///
    /// # Errors
    /// Something unreadable in an answer.
    pub async fn new(
        server: &Server,
        admin: &Api,
        number: usize,
        outlet: Option<&str>,
    ) -> anyhow::Result<Self> {
        let device = json!({
            "serial_number": format!("BENCH-{number:06}"),
            "model": "bench",
            "capabilities": ["speaker", "display", "dynamic_qr"],
        });
        let device = admin
            .post("/admin/devices", &device)
            .await
            .expect(201)
            .data();
        let device_id: DeviceId = text(&device, "id").parse()?;
        if let Some(outlet) = outlet {
            let terminal = json!({
                "name": format!("Bench {number}"),
                "terminal_label": format!("B{number:06}"),
            });
            let terminal = admin
                .post(&format!("/admin/outlets/{outlet}/terminals"), &terminal)
                .await
                .expect(201)
                .data();
            let bind = json!({ "terminal_id": terminal["id"] });
            let _ = admin
                .post(&format!("/admin/devices/{device_id}/bind"), &bind)
                .await
                .expect(200);
        }
        let key = KeyAndCsr::generate(KeyKind::P256, "bench")?;
        let activation = json!({
            "serial_number": device["serial_number"],
            "activation_code": device["activation_code"],
            "csr": key.csr_pem(),
            "firmware_version": "1.0.0",
        });
        let activated = admin
            .post("/device/provision/activate", &activation)
            .await
            .expect(200)
            .data();
        let chain = format!(
            "{}{}",
            text(&activated, "certificate"),
            text(&activated, "ca_chain")
        );
        let tls = tls::client_config(
            tls::roots_from_pem(&server.root_pem)?,
            Some((
                tls::chain_from_pem(&chain)?,
                tls::key_from_pem(&key.key_pem())?,
            )),
            Vec::new(),
        )?;
        Ok(Self {
            device_id,
            keys: serde_json::from_value(activated["announcement_keys"].clone())?,
            api: admin.with_token(&text(&activated, "device_token")),
            tls,
        })
    }

    /// Connects and listens.
    ///
    /// # Errors
    /// What the platform or TLS has against it.
    pub async fn connect(&self, server: &Server) -> anyhow::Result<Line> {
        let to: SocketAddr =
            tokio::net::lookup_host((server.demo.mqtt_host.as_str(), server.demo.mqtt_port))
                .await?
                .find(SocketAddr::is_ipv4)
                .context("the MQTT host has no address")?;
        let client_id = self.device_id.to_string();
        let mut line = Line::dial(Dial {
            to,
            client_id: &client_id,
            clean: true,
            tls: Arc::clone(&self.tls),
        })
        .await?;
        line.subscribe(&format!("devices/{client_id}/downlink/#"))
            .await;
        Ok(line)
    }
}
