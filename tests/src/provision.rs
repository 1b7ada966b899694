//! A box for measurements: registered, bound if it is to be paid, activated, connected.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::csr::{KeyAndCsr, KeyKind};
use certs::tls;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use rumqttc::{ConnectionError, Publish};
use rustls::ClientConfig;
use serde_json::json;
use wire::message::{AckStatus, ConfigAck, ConfigAckStatus, Extras, Heartbeat, PaymentAck};
use wire::{
    DeviceId, DownlinkFilter, DownlinkMessage, Encoding, Topic, UplinkMessage, VerifyingKeys,
};

use crate::api::{Answer, Api};
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

/// A heartbeat's topic and payload.
#[must_use]
pub fn heartbeat(device_id: DeviceId) -> (String, Vec<u8>) {
    encode(
        device_id,
        &UplinkMessage::Heartbeat(Heartbeat {
            device_id,
            timestamp: Some("2026-05-23T10:00:00Z".to_owned()),
            firmware_version: Some("1.0.3".to_owned()),
            state: Some("idle".to_owned()),
            network_strength: Some(78),
            battery_level: Some(92),
            extras: Extras::default(),
        }),
    )
}

/// Topic and payload of a message from a box.
#[must_use]
pub fn encode(device_id: DeviceId, message: &UplinkMessage) -> (String, Vec<u8>) {
    let topic = Topic::new(device_id, message.channel()).to_string();
    (topic, message.encode(Encoding::Json).unwrap())
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
        self.open(true).await
    }

    async fn open(&self, clean: bool) -> Result<Connection, ConnectionError> {
        Connection::open(ConnectOptions {
            address: self.to,
            client_id: &self.device_id.to_string(),
            clean,
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
    /// The addresses that it knows, and the place of the one that it uses.
    to: Vec<SocketAddr>,
    at: usize,
}

/// How many boxes are made at a time.
const AT_A_TIME: usize = 16;

/// Makes boxes of the demonstration's first outlet, each at a terminal of its own, which connect at these addresses.
pub async fn many(
    server: &Server,
    to: Vec<SocketAddr>,
    count: u32,
) -> anyhow::Result<Vec<Provisioned>> {
    let (admin, outlet) = (server.api("admin")?, server.outlet()?);
    stream::iter(0..usize::try_from(count)?)
        .map(|number| {
            let (admin, to) = (&admin, to.clone());
            Provisioned::at(&server.root_pem, to, admin, number, Some(outlet))
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

impl Provisioned {
    /// Makes the box of this number through the public API; with an outlet, bound to a terminal of its own.
    pub async fn new(
        server: &Server,
        admin: &Api,
        number: usize,
        outlet: Option<&str>,
    ) -> anyhow::Result<Self> {
        let to = vec![server.mqtt().await?];
        Self::at(&server.root_pem, to, admin, number, outlet).await
    }

    /// The same for a platform with this root certificate, which serves MQTT at these addresses: boxes begin at one of them by
    /// their numbers.
    pub async fn at(
        root_pem: &str,
        to: Vec<SocketAddr>,
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
            tls::roots_from_pem(root_pem)?,
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
            at: number,
            to,
        })
    }

    /// The platform was started again and has other addresses: `admin` is a client of it at the new one.
    pub fn moved(&mut self, admin: &Api, to: SocketAddr) {
        self.api = admin.with_token(&self.device_token);
        self.to = vec![to];
    }

    /// From now on it uses the next of its addresses.
    pub fn try_next(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// The address that it uses.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.to[self.at % self.to.len()]
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            to: self.address(),
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
        connection.subscribe(&self.filter()).await;
        Ok(connection)
    }

    /// Connects as boxes do, with a session that outlives the connection; subscribes if the platform has none. `None`:
    /// the connection ended before that was confirmed.
    pub async fn resume(&self) -> Result<Option<Connection>, ConnectionError> {
        let mut connection = self.endpoint().open(false).await?;
        let subscribed =
            connection.session_present || connection.try_subscribe(&self.filter()).await.is_some();
        Ok(subscribed.then_some(connection))
    }

    fn filter(&self) -> String {
        DownlinkFilter::All.for_device(self.device_id)
    }

    /// Verifies and reads a message; `None` if it is not one of ours to this box.
    #[must_use]
    pub fn open(&self, publish: &Publish) -> Option<DownlinkMessage> {
        let topic: Topic = publish.topic.parse().ok()?;
        self.keys
            .open(self.device_id, topic.channel, &publish.payload)
            .ok()
    }

    /// Confirms a message, and acknowledges it if it is a payment or a configuration; `false`: the connection has ended.
    pub async fn answer(
        &self,
        connection: &mut Connection,
        publish: &Publish,
        message: Option<&DownlinkMessage>,
    ) -> bool {
        match message.and_then(answer_to) {
            Some(ack) => {
                let (topic, payload) = encode(self.device_id, &ack);
                connection.answer(publish, &topic, payload).await
            }
            None => connection.try_confirm(publish).await,
        }
    }

    /// Requests a code of 50,000 rupiah over HTTPS; repeating it with the same key gives the same code.
    pub async fn request_code(&self, key: &str) -> reqwest::Result<Answer> {
        let body = json!({
            "device_id": self.device_id, "amount": 50_000, "currency": "IDR", "request_id": key,
        });
        let (path, headers) = (
            "/device/transactions/dynamic-qr",
            [("idempotency-key", key)],
        );
        let body = Some(body.to_string().into_bytes());
        self.api.try_call(Method::POST, path, &headers, body).await
    }
}
