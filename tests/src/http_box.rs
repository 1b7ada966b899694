//! A box that speaks HTTP: beats, opens what it is answered, says each payment once, acknowledges.

use std::collections::HashSet;

use serde_json::{Value, json};
use wire::message::{AckStatus, PaymentSuccess};
use wire::{Channel, DownlinkMessage, EventId};

use crate::api::{Answer, Api};
use crate::credentials::Credentials;
use crate::world::World;

/// A box on HTTP.
#[derive(Debug, Clone)]
pub struct HttpBox {
    /// Who it is.
    pub credentials: Credentials,
    /// What it has said, in order.
    pub spoken: Vec<PaymentSuccess>,
    /// What it was told again after it had said it.
    pub repeated: Vec<EventId>,
    api: Api,
}

/// What an answer to a beat carries.
#[derive(Debug)]
pub struct Told {
    /// Payments, verified.
    pub payments: Vec<PaymentSuccess>,
    /// Orders, verified.
    pub commands: Vec<wire::message::Command>,
    /// The version of the configuration that the box should have.
    pub config_version: i64,
}

impl HttpBox {
    /// A box that an operator has put on HTTP, at a till.
    pub async fn at(world: &World, terminal_id: wire::TerminalId) -> Self {
        let credentials = Credentials::at(world, terminal_id).await;
        let soundbox = Self::with(world, credentials);
        soundbox.goes_by(world, "http").await;
        soundbox.settle().await;
        soundbox
    }

    /// A box with these credentials.
    pub fn with(world: &World, credentials: Credentials) -> Self {
        Self {
            api: credentials.api(world),
            credentials,
            spoken: Vec::new(),
            repeated: Vec::new(),
        }
    }

    /// An operator sets the way by which it communicates.
    pub async fn goes_by(&self, world: &World, communication_mode: &str) {
        let path = format!("/admin/devices/{}", self.credentials.device_id);
        let change = json!({ "communication_mode": communication_mode });
        let _ = world.admin().patch(&path, &change).await.expect(200);
    }

    /// Fetches its configuration and applies it, so that no news of it is left.
    pub async fn settle(&self) {
        let current = self.api.get("/device/config").await.expect(200).data();
        let ack = json!({ "device_id": self.credentials.device_id, "version": current["version"], "status": "applied" });
        let _ = self.api.post("/device/config/ack", &ack).await.expect(200);
    }

    /// Its sign of life, for whoever wants to send it in a way of their own.
    pub fn sign_of_life(&self) -> Value {
        json!({
            "device_id": self.credentials.device_id, "firmware_version": "1.0.3", "state": "idle",
            "network_strength": 78, "battery_level": 92,
        })
    }

    /// Beats and waits for the answer for up to `wait_s` seconds, as the platform sees it.
    pub async fn ask(&self, wait_s: u32) -> Answer {
        let path = format!("/device/heartbeat?wait={wait_s}");
        self.api.post(&path, &self.sign_of_life()).await
    }

    /// Beats; what it is told, verified and not acknowledged.
    pub async fn beat(&self, wait_s: u32) -> Told {
        self.open(&self.ask(wait_s).await.expect(200).data())
    }

    /// Verifies what an answer carries.
    pub fn open(&self, data: &Value) -> Told {
        let open = |channel: Channel, envelope: &Value| {
            let bytes = envelope.to_string().into_bytes();
            let own = self.credentials.device_id;
            self.credentials.keys.open(own, channel, &bytes).unwrap()
        };
        let list = |name: &str| data[name].as_array().unwrap().clone();
        let payments = list("notifications").into_iter().map(|envelope| {
            match open(Channel::PaymentSuccess, &envelope) {
                DownlinkMessage::PaymentSuccess(payment) => payment,
                other => panic!("{other:?}"),
            }
        });
        let commands = list("commands")
            .iter()
            .map(|envelope| match open(Channel::Command, envelope) {
                DownlinkMessage::Command(command) => command,
                other => panic!("{other:?}"),
            })
            .collect();
        Told {
            payments: payments.collect(),
            commands,
            config_version: data["config_version"].as_i64().unwrap(),
        }
    }

    /// Beats and says what is new; what it knows already it only acknowledges. How many it said.
    pub async fn play(&mut self, wait_s: u32) -> usize {
        let payments = self.beat(wait_s).await.payments;
        let before = self.spoken.len();
        for payment in payments {
            let known: HashSet<EventId> = self.spoken.iter().map(|one| one.event_id).collect();
            self.acknowledge(payment.event_id, AckStatus::Played).await;
            if known.contains(&payment.event_id) {
                self.repeated.push(payment.event_id);
            } else {
                self.spoken.push(payment);
            }
        }
        self.spoken.len() - before
    }

    /// Says what became of an announcement.
    pub async fn acknowledge(&self, event_id: EventId, status: AckStatus) {
        let ack = json!({ "event_id": event_id, "status": status.as_str() });
        let _ = self
            .api
            .post("/device/notifications/ack", &ack)
            .await
            .expect(200);
    }
}
