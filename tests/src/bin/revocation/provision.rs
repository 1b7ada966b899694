//! A terminal and a box at it, made through the public API of a running platform: as an operator and a box would.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use certs::csr::{KeyAndCsr, KeyKind};
use certs::tls;
use rumqttc::ConnectionError;
use rustls::ClientConfig;
use serde_json::json;
use wire::{DeviceId, VerifyingKeys};

use tests::api::Api;
use tests::line::{Dial, Line};
use tests::server::Server;
use tests::shop::text;

/// A box with its credentials, not connected.
#[derive(Debug, Clone)]
pub(crate) struct Provisioned {
    /// Who it is.
    pub(crate) device_id: DeviceId,
    /// The label of its terminal, tag 62.07.
    pub(crate) terminal_label: String,
    /// Who signs what it is told.
    pub(crate) keys: VerifyingKeys,
    tls: Arc<ClientConfig>,
    to: SocketAddr,
}

impl Provisioned {
    /// Makes the box of this number at a terminal of its own.
    ///
    /// # Errors
    /// Whatever the platform has against it.
    pub(crate) async fn make(server: &Server, admin: &Api, number: usize) -> anyhow::Result<Self> {
        let merchant = server.demo.merchants.first();
        let outlet = merchant
            .and_then(|merchant| merchant.outlet_ids.first())
            .context("the demo has no outlet")?;
        let terminal_label = format!("B{number:05}");
        let terminal =
            json!({ "name": format!("Bench {number}"), "terminal_label": terminal_label });
        let terminal = admin
            .post(&format!("/admin/outlets/{outlet}/terminals"), &terminal)
            .await
            .expect(201)
            .data();
        let device = json!({
            "serial_number": format!("BENCH-{number:05}"),
            "model": "bench",
            "capabilities": ["speaker", "display", "dynamic_qr"],
        });
        let device = admin
            .post("/admin/devices", &device)
            .await
            .expect(201)
            .data();
        let device_id: DeviceId = text(&device, "id").parse()?;
        let bind = json!({ "terminal_id": terminal["id"] });
        let _ = admin
            .post(&format!("/admin/devices/{device_id}/bind"), &bind)
            .await
            .expect(200);
        let key = KeyAndCsr::generate(KeyKind::P256, "bench")?;
        let activation = json!({
            "serial_number": device["serial_number"],
            "activation_code": device["activation_code"],
            "csr": key.csr_pem(),
            "firmware_version": "1.0.0",
        });
        let anonymous = anonymous(server);
        let activated = anonymous
            .post("/device/provision/activate", &activation)
            .await
            .expect(200)
            .data();
        let chain = format!(
            "{}{}",
            text(&activated, "certificate"),
            text(&activated, "ca_chain")
        );
        let identity = (
            tls::chain_from_pem(&chain)?,
            tls::key_from_pem(&key.key_pem())?,
        );
        let roots = tls::roots_from_pem(&server.root_pem)?;
        Ok(Self {
            device_id,
            terminal_label,
            keys: serde_json::from_value(activated["announcement_keys"].clone())?,
            tls: tls::client_config(roots, Some(identity), Vec::new())?,
            to: server.mqtt().await?,
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// What the platform has against it.
    pub(crate) async fn dial(&self) -> Result<Line, ConnectionError> {
        Line::dial(Dial {
            to: self.to,
            client_id: &self.device_id.to_string(),
            clean: true,
            tls: Arc::clone(&self.tls),
        })
        .await
    }

    /// Connects and subscribes to all that it is told.
    ///
    /// # Errors
    /// What the platform has against it.
    pub(crate) async fn listen(&self) -> Result<Line, ConnectionError> {
        let mut line = self.dial().await?;
        line.subscribe(&format!("devices/{}/downlink/#", self.device_id))
            .await;
        Ok(line)
    }
}

/// HTTPS as nobody in particular.
pub(crate) fn anonymous(server: &Server) -> Api {
    Api::new(&server.demo.api_url, &server.root_pem).unchecked()
}
