//! A box on MQTT as it should be: verifies signatures, plays each payment once, acknowledges.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use rumqttc::{ConnectionError, SubscribeReasonCode};
use wire::message::{
    AckStatus, Command, ConfigAck, ConfigAckStatus, ConfigPush, DynamicQrResponse, Heartbeat,
    OnlineState, PaymentAck, PaymentSuccess, Status, Time,
};
use wire::{BindingId, Channel, DownlinkFilter, DownlinkMessage, EventId, Topic, UplinkMessage};

use crate::connection::{ConnectOptions, Connection};
use crate::credentials::Credentials;
use crate::world::World;

/// A connected box.
pub struct Soundbox {
    /// Its credentials.
    pub credentials: Credentials,
    /// Its binding in the newest configuration.
    pub binding_id: Option<BindingId>,
    /// The payments that it played, in order.
    pub spoken: Vec<PaymentSuccess>,
    /// Payments that it received again.
    pub repeated: Vec<EventId>,
    /// The server's time when it connected; the box has no other clock.
    pub server_time: DateTime<Utc>,
    connection: Connection,
    waiting: VecDeque<DownlinkMessage>,
}

impl Soundbox {
    /// A new box, bound to a terminal and connected.
    pub async fn at(world: &World, terminal_id: wire::TerminalId) -> Self {
        Self::switch_on(world, Credentials::at(world, terminal_id).await).await
    }

    /// A new box without a binding, connected.
    pub async fn unbound(world: &World) -> Self {
        Self::switch_on(world, Credentials::unbound(world).await).await
    }

    /// Connects with a persistent session, subscribes, requests the time.
    pub async fn switch_on(world: &World, credentials: Credentials) -> Self {
        Self::switch_on_at(world.mqtt(), credentials).await
    }

    /// The same at the MQTT address of another process.
    pub async fn switch_on_at(address: SocketAddr, credentials: Credentials) -> Self {
        let mut connection = connect_at(address, &credentials, false).await.unwrap();
        let filter = DownlinkFilter::All.for_device(credentials.device_id);
        let granted = connection.subscribe(&filter).await;
        assert_eq!(
            granted,
            SubscribeReasonCode::Success(rumqttc::QoS::AtLeastOnce)
        );
        let mut soundbox = Self {
            binding_id: credentials.binding_id,
            credentials,
            spoken: Vec::new(),
            repeated: Vec::new(),
            server_time: DateTime::UNIX_EPOCH,
            connection,
            waiting: VecDeque::new(),
        };
        soundbox.ask_time().await;
        soundbox
    }

    /// Switches it off: the connection ends without a DISCONNECT, unread messages are lost.
    pub async fn switch_off(self) -> SwitchedOff {
        let Self {
            credentials,
            binding_id,
            spoken,
            repeated,
            connection,
            ..
        } = self;
        connection.abort().await;
        SwitchedOff {
            credentials,
            binding_id,
            spoken,
            repeated,
        }
    }

    /// The next message that is signed for this box, confirmed (PUBACK).
    async fn listen(&mut self) -> DownlinkMessage {
        let publish = self.connection.receive().await;
        let topic: Topic = publish.topic.parse().unwrap();
        let own = self.credentials.device_id;
        assert_eq!(topic.device_id, own, "another box's topic");
        let message = self
            .credentials
            .keys
            .open(own, topic.channel, &publish.payload)
            .unwrap_or_else(|error| panic!("{}: {error}", publish.topic));
        assert_eq!(
            wire::Encoding::detect(&publish.payload).unwrap(),
            self.credentials.encoding,
            "a message in the wrong encoding"
        );
        self.connection.confirm(&publish).await;
        message
    }

    async fn ask_time(&mut self) {
        let nonce = format!("{:016x}", rand::random::<u64>());
        let status = Status {
            state: OnlineState::Online,
            firmware_version: Some("1.0.3".to_owned()),
            reason: None,
            nonce: Some(nonce.clone()),
        };
        self.send(UplinkMessage::Status(status)).await;
        loop {
            match self.listen().await {
                DownlinkMessage::Time(Time {
                    nonce: back,
                    server_time,
                }) if back == nonce => {
                    self.server_time = server_time;
                    return;
                }
                DownlinkMessage::Time(_) => {}
                message => self.waiting.push_back(message),
            }
        }
    }

    /// The next message; configurations are applied on the way and shown too.
    pub async fn next(&mut self) -> DownlinkMessage {
        let message = match self.waiting.pop_front() {
            Some(message) => message,
            None => self.listen().await,
        };
        if let DownlinkMessage::ConfigPush(push) = &message {
            self.apply(push).await;
        }
        message
    }

    /// The next command; what comes before it is passed over.
    pub async fn next_command(&mut self) -> Command {
        loop {
            if let DownlinkMessage::Command(command) = self.next().await {
                return command;
            }
        }
    }

    /// The next configuration; what comes before it is passed over.
    pub async fn next_config(&mut self) -> ConfigPush {
        loop {
            if let DownlinkMessage::ConfigPush(push) = self.next().await {
                return push;
            }
        }
    }

    /// The next answer to a request for a code; what comes before it is passed over.
    pub async fn next_qr(&mut self) -> DynamicQrResponse {
        loop {
            if let DownlinkMessage::DynamicQrResponse(response) = self.next().await {
                return response;
            }
        }
    }

    async fn apply(&mut self, push: &ConfigPush) {
        self.binding_id = push.binding_id;
        let ack = ConfigAck {
            version: push.version,
            status: ConfigAckStatus::Applied,
            reason: None,
        };
        self.send(UplinkMessage::ConfigAck(ack)).await;
    }

    /// The next payment, PUBACKed and not acknowledged. It must be of this box's binding.
    pub async fn hear(&mut self) -> PaymentSuccess {
        loop {
            if let DownlinkMessage::PaymentSuccess(payment) = self.next().await {
                assert_eq!(
                    Some(payment.binding_id),
                    self.binding_id,
                    "of another binding"
                );
                return payment;
            }
        }
    }

    /// Plays and acknowledges the next new payment. One that it has played already is acknowledged only.
    pub async fn play(&mut self) -> PaymentSuccess {
        loop {
            let payment = self.hear().await;
            let known: HashSet<EventId> = self.spoken.iter().map(|one| one.event_id).collect();
            if known.contains(&payment.event_id) {
                self.repeated.push(payment.event_id);
            } else {
                self.spoken.push(payment.clone());
            }
            self.acknowledge(payment.event_id, AckStatus::Played).await;
            if !known.contains(&payment.event_id) {
                return payment;
            }
        }
    }

    /// Applies configurations until one has this binding.
    pub async fn wait_for_binding(&mut self, binding_id: Option<BindingId>) {
        while self.next_config().await.binding_id != binding_id {}
    }

    /// How this box words a payment at the time when it connected.
    pub fn wording(&self, payment: &PaymentSuccess) -> Wording {
        if self.server_time >= payment.announce_until {
            Wording::Nothing
        } else if self.server_time >= payment.delayed_after {
            Wording::Delayed
        } else {
            Wording::Plain
        }
    }

    /// Acknowledges a payment; returns at the PUBACK.
    pub async fn acknowledge(&mut self, event_id: EventId, status: AckStatus) {
        let ack = PaymentAck {
            event_id,
            status,
            played_at: None,
            reason: None,
        };
        self.send(UplinkMessage::PaymentAck(ack)).await;
    }

    /// Sends a message; returns at the PUBACK.
    pub async fn send(&mut self, message: UplinkMessage) {
        let payload = message.encode(self.credentials.encoding).unwrap();
        let channel = message.channel();
        assert!(self.send_raw(channel, payload).await, "no PUBACK");
    }

    /// Sends these bytes; whether they were PUBACKed.
    pub async fn send_raw(&mut self, channel: Channel, payload: Vec<u8>) -> bool {
        let topic = Topic::new(self.credentials.device_id, channel).to_string();
        self.connection.publish(&topic, payload).await
    }

    /// Sends a heartbeat.
    pub async fn heartbeat(&mut self, timestamp: &str) {
        self.heartbeat_at(Some(timestamp)).await;
    }

    /// Sends a heartbeat with a timestamp or without one.
    pub async fn heartbeat_at(&mut self, timestamp: Option<&str>) {
        let heartbeat = Heartbeat {
            device_id: self.credentials.device_id,
            timestamp: timestamp.map(str::to_owned),
            firmware_version: Some("1.0.3".to_owned()),
            state: Some("idle".to_owned()),
            network_strength: Some(78),
            battery_level: Some(92),
            extras: wire::message::Extras::default(),
        };
        self.send(UplinkMessage::Heartbeat(heartbeat)).await;
    }

    /// Its connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Waits until the platform has ended the connection.
    pub async fn ended(self) -> ConnectionError {
        self.connection.ended().await
    }
}

/// How a payment is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// As new.
    Plain,
    /// As delayed.
    Delayed,
    /// Not at all.
    Nothing,
}

/// A box that is switched off.
pub struct SwitchedOff {
    /// Its credentials.
    pub credentials: Credentials,
    binding_id: Option<BindingId>,
    spoken: Vec<PaymentSuccess>,
    repeated: Vec<EventId>,
}

impl SwitchedOff {
    /// A new box, bound to a terminal, with a session and offline.
    pub async fn at(world: &World, terminal_id: wire::TerminalId) -> Self {
        let away = Soundbox::at(world, terminal_id).await.switch_off().await;
        away.wait_until_offline(world).await;
        away
    }

    /// Waits until the platform sees that it is offline.
    pub async fn wait_until_offline(&self, world: &World) {
        self.credentials.wait_for_online(world, false).await;
    }

    /// Connects again without subscribing: its session must have been kept.
    pub async fn reconnect(self, world: &World) -> Soundbox {
        let connection = connect(world, &self.credentials, false).await.unwrap();
        assert!(connection.session_present, "the session is gone");
        let mut soundbox = Soundbox {
            credentials: self.credentials,
            binding_id: self.binding_id,
            spoken: self.spoken,
            repeated: self.repeated,
            server_time: DateTime::UNIX_EPOCH,
            connection,
            waiting: VecDeque::new(),
        };
        soundbox.ask_time().await;
        soundbox
    }
}

/// Connects as this box and disconnects again: it is admitted.
pub async fn visit(world: &World, credentials: &Credentials) {
    let connection = connect(world, credentials, true).await.unwrap();
    connection.disconnect().await;
}

/// Connects as this box.
pub async fn connect(
    world: &World,
    credentials: &Credentials,
    clean: bool,
) -> Result<Connection, ConnectionError> {
    connect_at(world.mqtt(), credentials, clean).await
}

/// Connects as this box to another process.
pub async fn connect_at(
    address: SocketAddr,
    credentials: &Credentials,
    clean: bool,
) -> Result<Connection, ConnectionError> {
    Connection::open(ConnectOptions {
        address,
        client_id: &credentials.device_id.to_string(),
        clean,
        tls: credentials.tls(),
    })
    .await
}
