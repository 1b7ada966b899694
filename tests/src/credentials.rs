//! A box before it connects: registered by an operator, activated with a key that it made itself.

use std::sync::Arc;

use certs::csr::{KeyAndCsr, KeyKind};
use certs::identity::PeerIdentity;
use certs::tls::{chain_from_pem, client_config, key_from_pem, roots_from_pem};
use rustls::ClientConfig;
use serde_json::{Value, json};
use wire::{BindingId, DeviceId, Encoding, TerminalId, TransactionId, VerifyingKeys};

use crate::api::{Answer, Api};
use crate::eventually::eventually;
use crate::fields::text;
use crate::world::World;

/// A box as it is shipped.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its id.
    pub device_id: DeviceId,
    /// Its serial number.
    pub serial_number: String,
    /// Its activation code.
    pub activation_code: String,
}

/// What a box has after its activation.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its id.
    pub device_id: DeviceId,
    /// Its serial number.
    pub serial_number: String,
    /// Its bearer token.
    pub token: String,
    /// Its private key, PKCS #8 PEM.
    pub key_pem: String,
    /// Its certificate and the chain above it.
    pub chain_pem: String,
    /// The keys that verify messages to it.
    pub keys: VerifyingKeys,
    /// Its binding when it was activated.
    pub binding_id: Option<BindingId>,
    /// The encoding of messages to it.
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

/// Registers a box with all capabilities.
pub async fn register(world: &World) -> Registered {
    register_with(world, &["speaker", "display", "dynamic_qr"]).await
}

/// Registers a box with these capabilities.
pub async fn register_with(world: &World, capabilities: &[&str]) -> Registered {
    let serial_number = format!("SN-{:08X}", rand::random::<u32>());
    let device = json!({
        "serial_number": serial_number, "model": "SB-1", "capabilities": capabilities, "communication_mode": "mqtt",
    });
    let created = world.admin().create("/admin/devices", &device).await;
    Registered {
        device_id: text(&created, "id").parse().unwrap(),
        serial_number,
        activation_code: text(&created, "activation_code"),
    }
}

/// Binds a box to a terminal; the binding's id.
pub async fn bind(world: &World, device_id: DeviceId, terminal_id: TerminalId) -> BindingId {
    let path = format!("/admin/devices/{device_id}/bind");
    let place = json!({ "terminal_id": terminal_id });
    let bound = world.admin().act(&path, &place).await;
    text(&bound["binding"], "binding_id").parse().unwrap()
}

/// A key and the request for its certificate.
pub fn new_key() -> KeyAndCsr {
    KeyAndCsr::generate(KeyKind::P256, "a soundbox").unwrap()
}

impl Registered {
    /// Requests an activation.
    pub async fn ask(&self, world: &World, code: &str, csr: &str, more: Value) -> Answer {
        self.ask_from(&world.anonymous(), code, csr, more).await
    }

    /// The same from another machine.
    pub async fn ask_from(&self, api: &Api, code: &str, csr: &str, more: Value) -> Answer {
        let mut body = json!({
            "serial_number": self.serial_number, "activation_code": code, "csr": csr, "firmware_version": "1.0.3",
        });
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        api.post("/device/provision/activate", &body).await
    }

    /// Sends this code and the request for a certificate of this key.
    pub async fn try_code(&self, world: &World, code: &str, key: &KeyAndCsr) -> Answer {
        self.ask(world, code, key.csr_pem(), json!({})).await
    }

    /// Activates it with this code and this key.
    pub async fn activate_with(&self, world: &World, code: &str, key: &KeyAndCsr) -> Credentials {
        let answer = self.try_code(world, code, key).await.expect(200);
        self.keep(world, key, &answer.data())
    }

    /// Another activation code, which replaces the one before.
    pub async fn new_code(&self, world: &World) -> String {
        let path = format!("/admin/devices/{}/activation-code", self.device_id);
        let renewed = world.admin().create(&path, &json!({})).await;
        text(&renewed, "activation_code")
    }

    /// Activates the box.
    pub async fn activate(&self, world: &World, encoding: Encoding) -> Credentials {
        let key = new_key();
        let more = json!({ "payload_encoding": encoding.as_str() });
        let answer = self
            .ask(world, &self.activation_code, key.csr_pem(), more)
            .await
            .expect(200);
        self.keep(world, &key, &answer.data())
    }

    /// The credentials in the answer.
    pub fn keep(&self, world: &World, key: &KeyAndCsr, data: &Value) -> Credentials {
        Credentials::of(&self.serial_number, key, data, world.app().root_pem())
    }
}

impl Credentials {
    /// The credentials in the answer to an activation.
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

    /// A new box, bound to a terminal and activated.
    pub async fn at(world: &World, terminal_id: TerminalId) -> Self {
        Self::at_in(world, terminal_id, Encoding::Json).await
    }

    /// The same with this encoding.
    pub async fn at_in(world: &World, terminal_id: TerminalId, encoding: Encoding) -> Self {
        let registered = register(world).await;
        bind(world, registered.device_id, terminal_id).await;
        registered.activate(world, encoding).await
    }

    /// A new box without a binding, activated.
    pub async fn unbound(world: &World) -> Self {
        register(world).await.activate(world, Encoding::Json).await
    }

    /// TLS as this box.
    pub fn tls(&self) -> Arc<ClientConfig> {
        let chain = chain_from_pem(&self.chain_pem).unwrap();
        let key = key_from_pem(&self.key_pem).unwrap();
        let roots = roots_from_pem(&self.root_pem).unwrap();
        client_config(roots, Some((chain, key)), Vec::new()).unwrap()
    }

    /// Its certificate's serial number, hex.
    pub fn certificate_serial(&self) -> String {
        let chain = chain_from_pem(&self.chain_pem).unwrap();
        PeerIdentity::from_der(&chain[0]).unwrap().serial
    }

    /// Renews the credentials, for a new key.
    pub async fn renew(&self, world: &World, api: &Api) -> Self {
        let key = new_key();
        let csr = json!({ "csr": key.csr_pem() });
        let path = "/device/provision/refresh-credential";
        let answer = api.act(path, &csr).await;
        assert_eq!(answer["device_id"], json!(self.device_id));
        self.registered().keep(world, &key, &answer)
    }

    /// The same box as it was before its activation, without a code.
    pub fn registered(&self) -> Registered {
        Registered {
            device_id: self.device_id,
            serial_number: self.serial_number.clone(),
            activation_code: String::new(),
        }
    }

    /// HTTPS as this box, by its token.
    pub fn api(&self, world: &World) -> Api {
        world.anonymous().with_token(&self.token)
    }

    /// HTTPS as this box, by its certificate.
    pub fn api_by_certificate(&self, world: &World) -> Api {
        Api::with_tls(&world.url(), ClientConfig::clone(&self.tls()))
    }

    /// Requests a code over HTTP.
    pub async fn ask_qr(&self, world: &World, key: &str, body: &Value) -> Answer {
        let (path, key) = (
            "/device/transactions/dynamic-qr",
            [("idempotency-key", key)],
        );
        self.api(world).post_with(path, &key, body).await
    }

    /// A code for this amount.
    pub async fn qr(&self, world: &World, amount: i64) -> DynamicQr {
        let request_id = format!("req-{:016x}", rand::random::<u64>());
        let body = json!({
            "device_id": self.device_id, "amount": amount, "currency": "IDR", "request_id": request_id,
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

    /// A payment of a dynamic code of this box.
    pub async fn sell(&self, world: &World, amount: i64) -> TransactionId {
        let id = self.qr(world, amount).await.transaction_id;
        let _ = world.acquirer().pay(id, amount).await.expect(200);
        id
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        format!("/admin/devices/{}", self.device_id)
    }

    /// Changes it through the API.
    pub async fn change(&self, world: &World, change: Value) -> Value {
        world.admin().change(&self.path(), &change).await
    }

    /// Changes its status through the API.
    pub async fn set_status(&self, world: &World, status: &str) -> Value {
        self.change(world, json!({ "status": status })).await
    }

    /// The body of a heartbeat.
    pub fn heartbeat_body(&self) -> Value {
        json!({
            "device_id": self.device_id, "firmware_version": "1.0.3", "state": "idle",
            "network_strength": 78, "battery_level": 92,
        })
    }

    /// Sends a heartbeat over HTTPS; the answer's data.
    pub async fn heartbeat(&self, world: &World, firmware_version: &str) -> Value {
        let heartbeat = json!({
            "device_id": self.device_id, "firmware_version": firmware_version, "state": "idle",
        });
        self.api(world).act("/device/heartbeat", &heartbeat).await
    }

    /// Asks the platform to send a command to it.
    pub async fn command(&self, api: &Api, command: &Value) -> Answer {
        api.post_once(&format!("{}/commands", self.path()), command)
            .await
    }

    /// This box in the API.
    pub async fn view(&self, world: &World) -> Value {
        world.admin().read(&self.path()).await
    }

    /// Waits until the platform sees that this box is online, or that it is not.
    pub async fn wait_for_online(&self, world: &World, online: bool) {
        eventually(&format!("the box with online = {online}"), || async {
            (self.view(world).await["online"] == online).then_some(())
        })
        .await;
    }

    /// The notifications of this box in the API, newest first.
    pub async fn notifications(&self, world: &World) -> Vec<Value> {
        let path = format!("{}/notifications", self.path());
        world.admin().list(&path).await
    }
}
