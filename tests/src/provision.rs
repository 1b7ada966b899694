//! A box for measurements: registered, placed if it is to be paid, activated, connected.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::csr::{KeyAndCsr, KeyKind};
use certs::tls;
use rumqttc::ConnectionError;
use rustls::ClientConfig;
use serde_json::json;
use wire::message::{AckStatus, ConfigAck, ConfigAckStatus, PaymentAck};
use wire::{DeviceId, DownlinkMessage, UplinkMessage, VerifyingKeys};

use crate::api::Api;
use crate::line::{Dial, Line};
use crate::server::Server;
use crate::shop::text;

/// What a box answers that does at once whatever it is told; nothing where no measurement asks for an answer.
#[must_use]
pub fn answer_to(told: &DownlinkMessage) -> Option<UplinkMessage> {
    match told {
        DownlinkMessage::PaymentSuccess(payment) => Some(UplinkMessage::PaymentAck(PaymentAck {
            event_id: payment.event_id,
            status: AckStatus::Played,
            played_at: None,
            reason: None,
        })),
        DownlinkMessage::ConfigPush(push) => Some(UplinkMessage::ConfigAck(ConfigAck {
            version: push.version,
            status: ConfigAckStatus::Applied,
            reason: None,
        })),
        _ => None,
    }
}

/// What a client needs to connect.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where to.
    pub to: SocketAddr,
    /// As whom.
    pub device_id: DeviceId,
    /// What is shown and trusted.
    pub tls: Arc<ClientConfig>,
}

impl Door {
    /// Connects, with a session that ends with the connection.
    ///
    /// # Errors
    /// What the server or TLS has against it.
    pub async fn dial(&self) -> Result<Line, ConnectionError> {
        Line::dial(Dial {
            to: self.to,
            client_id: &self.device_id.to_string(),
            clean: true,
            tls: Arc::clone(&self.tls),
        })
        .await
    }
}

/// A box that can connect.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// Who it is.
    pub device_id: DeviceId,
    /// The label of its till, tag 62.07; none when it stands nowhere.
    pub terminal_label: Option<String>,
    /// Who signs what it is told.
    pub keys: VerifyingKeys,
    /// HTTPS, with its token.
    pub api: Api,
    /// TLS, with its certificate.
    pub tls: Arc<ClientConfig>,
    to: SocketAddr,
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
        let terminal_label = outlet.map(|_| format!("B{number:06}"));
        if let Some(outlet) = outlet {
            let terminal = json!({
                "name": format!("Bench {number}"),
                "terminal_label": terminal_label,
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
            terminal_label,
            keys: serde_json::from_value(activated["announcement_keys"].clone())?,
            api: admin.with_token(&text(&activated, "device_token")),
            tls,
            to: server.mqtt().await?,
        })
    }

    /// What it connects with.
    #[must_use]
    pub fn door(&self) -> Door {
        Door {
            to: self.to,
            device_id: self.device_id,
            tls: Arc::clone(&self.tls),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// What the platform or TLS has against it.
    pub async fn dial(&self) -> Result<Line, ConnectionError> {
        self.door().dial().await
    }

    /// Connects and subscribes to all that it is told.
    ///
    /// # Errors
    /// What the platform or TLS has against it.
    pub async fn listen(&self) -> Result<Line, ConnectionError> {
        let mut line = self.dial().await?;
        line.subscribe(&format!("devices/{}/downlink/#", self.device_id))
            .await;
        Ok(line)
    }
}
