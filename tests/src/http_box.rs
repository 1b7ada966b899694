//! A box on HTTP: sends heartbeats, verifies the answers, plays each payment once, acknowledges.

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
    /// Its credentials.
    pub credentials: Credentials,
    /// The payments that it played, in order.
    pub spoken: Vec<PaymentSuccess>,
    /// Payments that it received again.
    pub repeated: Vec<EventId>,
    api: Api,
}

/// The answer to a heartbeat.
#[derive(Debug)]
pub struct HeartbeatAnswer {
    /// Payments, verified.
    pub payments: Vec<PaymentSuccess>,
    /// Commands, verified.
    pub commands: Vec<wire::message::Command>,
    /// The version of the configuration that the box should have.
    pub config_version: i64,
}

impl HttpBox {
    /// A box in HTTP mode, bound to a terminal.
    pub async fn at(world: &World, terminal_id: wire::TerminalId) -> Self {
        let credentials = Credentials::at(world, terminal_id).await;
        let soundbox = Self::with(world, credentials);
        soundbox.set_communication_mode(world, "http").await;
        soundbox.apply_config().await;
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

    /// Sets its communication mode through the API.
    pub async fn set_communication_mode(&self, world: &World, communication_mode: &str) {
        let change = json!({ "communication_mode": communication_mode });
        self.credentials.change(world, change).await;
    }

    /// Fetches its configuration and acknowledges it, so that no change is pending.
    pub async fn apply_config(&self) {
        let current = self.api.read("/device/config").await;
        let ack = json!({ "device_id": self.credentials.device_id, "version": current["version"], "status": "applied" });
        self.api.act("/device/config/ack", &ack).await;
    }

    /// The body of its heartbeat.
    pub fn heartbeat_body(&self) -> Value {
        self.credentials.heartbeat_body()
    }

    /// Sends a heartbeat and lets the platform wait for up to `wait_s` seconds.
    pub async fn poll(&self, wait_s: u32) -> Answer {
        let path = format!("/device/heartbeat?wait={wait_s}");
        self.api.post(&path, &self.heartbeat_body()).await
    }

    /// Sends a heartbeat; the answer, verified and not acknowledged.
    pub async fn heartbeat(&self, wait_s: u32) -> HeartbeatAnswer {
        self.open(&self.poll(wait_s).await.expect(200).data())
    }

    /// Verifies an answer.
    pub fn open(&self, data: &Value) -> HeartbeatAnswer {
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
        HeartbeatAnswer {
            payments: payments.collect(),
            commands,
            config_version: data["config_version"].as_i64().unwrap(),
        }
    }

    /// Sends a heartbeat, plays what is new and acknowledges everything. How many it played.
    pub async fn play(&mut self, wait_s: u32) -> usize {
        let payments = self.heartbeat(wait_s).await.payments;
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

    /// Acknowledges a notification.
    pub async fn acknowledge(&self, event_id: EventId, status: AckStatus) {
        let ack = json!({ "event_id": event_id, "status": status.as_str() });
        self.api.act("/device/notifications/ack", &ack).await;
    }
}
