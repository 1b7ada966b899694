//! A box for measurements: registered, bound if it is to be paid, activated, connected.

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
use crate::connection::{ConnectOptions, Connection};
use crate::fields::text;
use crate::server::Server;

/// The acknowledgement of a payment or a configuration; none for other messages.
#[must_use]
pub fn answer_to(message: &DownlinkMessage) -> Option<UplinkMessage> {
    match message {
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

/// Address and identity of a client.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The server's address.
    pub to: SocketAddr,
    /// The client id.
    pub device_id: DeviceId,
    /// The certificate that is shown, and the roots that are trusted.
    pub tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// Connects, with a session that ends with the connection.
    pub async fn connect(&self) -> Result<Connection, ConnectionError> {
        Connection::open(ConnectOptions {
            address: self.to,
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
    /// Its credentials.
    pub device_id: DeviceId,
    /// The label of its terminal, tag 62.07; none when it is not bound.
    pub terminal_label: Option<String>,
    /// The keys that verify messages to it.
    pub keys: VerifyingKeys,
    /// HTTPS, with its token.
    pub api: Api,
    /// TLS, with its certificate.
    pub tls: Arc<ClientConfig>,
    device_token: String,
    to: SocketAddr,
}

impl Provisioned {
    /// Makes the box of this number through the public API; with an outlet, bound to a terminal of its own.
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
        let device = admin.create("/admin/devices", &device).await;
        let device_id: DeviceId = text(&device, "id").parse()?;
        let terminal_label = outlet.map(|_| format!("B{number:06}"));
        if let Some(outlet) = outlet {
            let terminal = json!({
                "name": format!("Bench {number}"),
                "terminal_label": terminal_label,
            });
            let terminal = admin
                .create(&format!("/admin/outlets/{outlet}/terminals"), &terminal)
                .await;
            let bind = json!({ "terminal_id": terminal["id"] });
            admin
                .act(&format!("/admin/devices/{device_id}/bind"), &bind)
                .await;
        }
        let key = KeyAndCsr::generate(KeyKind::P256, "bench")?;
        let activation = json!({
            "serial_number": device["serial_number"],
            "activation_code": device["activation_code"],
            "csr": key.csr_pem(),
            "firmware_version": "1.0.0",
        });
        let activated = admin.act("/device/provision/activate", &activation).await;
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
        let device_token = text(&activated, "device_token");
        Ok(Self {
            device_id,
            terminal_label,
            keys: serde_json::from_value(activated["announcement_keys"].clone())?,
            api: admin.with_token(&device_token),
            tls,
            device_token,
            to: server.mqtt().await?,
        })
    }

    /// The platform was started again and has other addresses: `admin` is a client of it at the new one.
    pub fn moved(&mut self, admin: &Api, to: SocketAddr) {
        self.api = admin.with_token(&self.device_token);
        self.to = to;
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            to: self.to,
            device_id: self.device_id,
            tls: Arc::clone(&self.tls),
        }
    }

    /// Connects.
    pub async fn connect(&self) -> Result<Connection, ConnectionError> {
        self.endpoint().connect().await
    }

    /// Connects and subscribes to its topics.
    pub async fn listen(&self) -> Result<Connection, ConnectionError> {
        let mut connection = self.connect().await?;
        connection
            .subscribe(&format!("devices/{}/downlink/#", self.device_id))
            .await;
        Ok(connection)
    }
}
