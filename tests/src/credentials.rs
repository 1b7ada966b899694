//! A box before it connects: registered by an operator, activated with a key that it made itself.

use std::sync::Arc;

use certs::csr::{KeyAndCsr, KeyKind};
use certs::identity::PeerIdentity;
use certs::tls::{chain_from_pem, client_config, key_from_pem, roots_from_pem};
use rustls::ClientConfig;
use serde_json::{Value, json};
use wire::{BindingId, DeviceId, Encoding, TerminalId, TransactionId, VerifyingKeys};

use crate::api::{Answer, Api};
use crate::shop::text;
use crate::world::World;

/// A box as it is shipped.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its id.
    pub device_id: DeviceId,
    /// The number on its back.
    pub serial_number: String,
    /// The code on its leaflet.
    pub activation_code: String,
}

/// What a box has after its activation.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its id.
    pub device_id: DeviceId,
    /// The number on its back.
    pub serial_number: String,
    /// Its bearer token.
    pub token: String,
    /// Its private key, PKCS #8 PEM.
    pub key_pem: String,
    /// Its certificate and the chain above it.
    pub chain_pem: String,
    /// Who signs what it is told.
    pub keys: VerifyingKeys,
    /// Where it stood when it was activated.
    pub binding_id: Option<BindingId>,
    /// What it is spoken to in.
    pub encoding: Encoding,
    /// Verifies the server.
    pub root_pem: String,
}

/// A dynamic code.
#[derive(Debug, Clone)]
pub struct DynamicQr {
    /// The transaction that it pays.
    pub transaction_id: TransactionId,
    /// The code's text.
    pub payload: String,
    /// The whole answer.
    pub answer: Value,
}

/// Registers a box that can do everything.
pub async fn register(world: &World) -> Registered {
    register_with(world, &["speaker", "display", "dynamic_qr"]).await
}

/// Registers a box with these capabilities.
pub async fn register_with(world: &World, capabilities: &[&str]) -> Registered {
    let serial_number = format!("SN-{:08X}", rand::random::<u32>());
    let created = world
        .admin()
        .post(
            "/admin/devices",
            &json!({ "serial_number": serial_number, "model": "SB-1", "capabilities": capabilities, "communication_mode": "mqtt" }),
        )
        .await
        .expect(201)
        .data();
    Registered {
        device_id: text(&created, "id").parse().unwrap(),
        serial_number,
        activation_code: text(&created, "activation_code"),
    }
}

/// Puts a box at a till; the binding's id.
pub async fn bind(world: &World, device_id: DeviceId, terminal_id: TerminalId) -> BindingId {
    let bound = world
        .admin()
        .post(
            &format!("/admin/devices/{device_id}/bind"),
            &json!({ "terminal_id": terminal_id }),
        )
        .await
        .expect(200)
        .data();
    text(&bound["binding"], "binding_id").parse().unwrap()
}

/// A key and the request for its certificate.
pub fn new_key() -> KeyAndCsr {
    KeyAndCsr::generate(KeyKind::P256, "a soundbox").unwrap()
}

impl Registered {
    /// Asks to be activated.
    pub async fn ask(&self, world: &World, code: &str, csr: &str, more: Value) -> Answer {
        self.ask_from(&world.anonymous(), code, csr, more).await
    }

    /// The same from another machine.
    pub async fn ask_from(&self, api: &Api, code: &str, csr: &str, more: Value) -> Answer {
        let mut body = json!({
            "serial_number": self.serial_number,
            "activation_code": code,
            "csr": csr,
            "firmware_version": "1.0.3",
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        api.post("/device/provision/activate", &body).await
    }

    /// Is activated.
    pub async fn activate(&self, world: &World, encoding: Encoding) -> Credentials {
        let key = new_key();
        let more = json!({ "payload_encoding": encoding.as_str() });
        let answer = self
            .ask(world, &self.activation_code, key.csr_pem(), more)
            .await
            .expect(200);
        self.keep(world, &key, &answer.data())
    }

    /// What a box keeps of the answer.
    pub fn keep(&self, world: &World, key: &KeyAndCsr, data: &Value) -> Credentials {
        Credentials::of(&self.serial_number, key, data, world.app().root_pem())
    }
}

impl Credentials {
    /// What a box keeps of the answer to its activation.
    pub fn of(serial_number: &str, key: &KeyAndCsr, data: &Value, root_pem: &str) -> Self {
        Self {
            device_id: text(data, "device_id").parse().unwrap(),
            serial_number: serial_number.to_owned(),
            token: text(data, "device_token"),
            key_pem: key.key_pem(),
            chain_pem: format!("{}{}", text(data, "certificate"), text(data, "ca_chain")),
            keys: serde_json::from_value(data["announcement_keys"].clone()).unwrap(),
            binding_id: serde_json::from_value(data["binding_id"].clone()).unwrap(),
            encoding: text(data, "payload_encoding").parse().unwrap(),
            root_pem: root_pem.to_owned(),
        }
    }

    /// A new box at a till, activated.
    pub async fn at(world: &World, terminal_id: TerminalId) -> Self {
        Self::at_in(world, terminal_id, Encoding::Json).await
    }

    /// The same, spoken to in this encoding.
    pub async fn at_in(world: &World, terminal_id: TerminalId, encoding: Encoding) -> Self {
        let registered = register(world).await;
        bind(world, registered.device_id, terminal_id).await;
        registered.activate(world, encoding).await
    }

    /// A new box that stands nowhere, activated.
    pub async fn unbound(world: &World) -> Self {
        register(world).await.activate(world, Encoding::Json).await
    }

    /// TLS as this box.
    pub fn tls(&self) -> Arc<ClientConfig> {
        let identity = (
            chain_from_pem(&self.chain_pem).unwrap(),
            key_from_pem(&self.key_pem).unwrap(),
        );
        client_config(
            roots_from_pem(&self.root_pem).unwrap(),
            Some(identity),
            Vec::new(),
        )
        .unwrap()
    }

    /// Its certificate's serial number, hex.
    pub fn certificate_serial(&self) -> String {
        let chain = chain_from_pem(&self.chain_pem).unwrap();
        PeerIdentity::from_der(&chain[0]).unwrap().serial
    }

    /// Gets new credentials in the place of these, for a new key.
    pub async fn renew(&self, world: &World, api: &Api) -> Self {
        let key = new_key();
        let answer = api
            .post(
                "/device/provision/refresh-credential",
                &json!({ "csr": key.csr_pem() }),
            )
            .await
            .expect(200)
            .data();
        assert_eq!(answer["device_id"], json!(self.device_id));
        let registered = Registered {
            device_id: self.device_id,
            serial_number: self.serial_number.clone(),
            activation_code: String::new(),
        };
        registered.keep(world, &key, &answer)
    }

    /// HTTPS as this box, by its token.
    pub fn api(&self, world: &World) -> Api {
        world.anonymous().with_token(&self.token)
    }

    /// HTTPS as this box, by its certificate.
    pub fn api_by_certificate(&self, world: &World) -> Api {
        Api::with_tls(&world.url(), ClientConfig::clone(&self.tls()))
    }

    /// Asks for a code over HTTP.
    pub async fn ask_qr(&self, world: &World, key: &str, body: &Value) -> Answer {
        self.api(world)
            .post_with(
                "/device/transactions/dynamic-qr",
                &[("idempotency-key", key)],
                body,
            )
            .await
    }

    /// A code for this amount.
    pub async fn qr(&self, world: &World, amount: i64) -> DynamicQr {
        let request_id = format!("req-{:016x}", rand::random::<u64>());
        let body = json!({
            "device_id": self.device_id,
            "amount": amount,
            "currency": "IDR",
            "request_id": request_id,
        });
        let answer = self.ask_qr(world, &request_id, &body).await;
        assert!((200..300).contains(&answer.status), "{answer}");
        let answer = answer.json();
        DynamicQr {
            transaction_id: text(&answer, "transaction_id").parse().unwrap(),
            payload: text(&answer, "qr_payload"),
            answer,
        }
    }

    /// A customer pays this amount at this box's till, by a dynamic code.
    pub async fn sell(&self, world: &World, amount: i64) -> TransactionId {
        let id = self.qr(world, amount).await.transaction_id;
        let _ = world.acquirer().pays(id, amount).await.expect(200);
        id
    }

    /// What the API says of this box.
    pub async fn view(&self, world: &World) -> Value {
        world
            .admin()
            .get(&format!("/admin/devices/{}", self.device_id))
            .await
            .expect(200)
            .data()
    }

    /// What the API says of what this box was told, newest first.
    pub async fn notifications(&self, world: &World) -> Vec<Value> {
        world
            .admin()
            .get(&format!("/admin/devices/{}/notifications", self.device_id))
            .await
            .expect(200)
            .data()
            .as_array()
            .unwrap()
            .clone()
    }
}
