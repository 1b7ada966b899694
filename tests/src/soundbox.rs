//! An honest box: believes only what is signed for it, says what it heard, and nothing twice.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};
use rumqttc::{ConnectionError, SubscribeReasonCode};
use wire::message::{
    AckStatus, ConfigAck, ConfigAckStatus, ConfigPush, Heartbeat, OnlineState, PaymentAck,
    PaymentSuccess, Status, Time,
};
use wire::{BindingId, Channel, DownlinkFilter, DownlinkMessage, EventId, Topic, UplinkMessage};

use crate::credentials::Credentials;
use crate::line::{Dial, Line};
use crate::patience::eventually;
use crate::world::World;

/// A box that is switched on.
pub struct Soundbox {
    /// Who it is.
    pub credentials: Credentials,
    /// Where it stands, as far as it knows.
    pub binding_id: Option<BindingId>,
    /// What it heard and would have said, in order.
    pub spoken: Vec<PaymentSuccess>,
    /// What it was told again.
    pub repeated: Vec<EventId>,
    /// The time that it was told when it connected: the only one that it believes.
    pub server_time: DateTime<Utc>,
    line: Line,
    waiting: VecDeque<DownlinkMessage>,
}

impl Soundbox {
    /// A new box at a till, listening.
    pub async fn at(world: &World, terminal_id: wire::TerminalId) -> Self {
        Self::switch_on(world, Credentials::at(world, terminal_id).await).await
    }

    /// Connects with a kept session, subscribes, asks for the time.
    pub async fn switch_on(world: &World, credentials: Credentials) -> Self {
        let mut line = dial(world, &credentials, false).await.unwrap();
        let filter = DownlinkFilter::All.for_device(credentials.device_id);
        let granted = line.subscribe(&filter).await;
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
            line,
            waiting: VecDeque::new(),
        };
        soundbox.ask_time().await;
        soundbox
    }

    /// Is switched off: the line is gone without a word. What was heard and not taken yet is forgotten.
    pub async fn switch_off(self) -> Away {
        let Self {
            credentials,
            binding_id,
            spoken,
            repeated,
            line,
            ..
        } = self;
        line.vanish().await;
        Away {
            credentials,
            binding_id,
            spoken,
            repeated,
        }
    }

    /// The next message that is signed for this box, confirmed (PUBACK).
    async fn listen(&mut self) -> DownlinkMessage {
        let publish = self.line.hear().await;
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
            "spoken to in the wrong encoding"
        );
        self.line.confirm(&publish).await;
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
        self.say(UplinkMessage::Status(status)).await;
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

    async fn apply(&mut self, push: &ConfigPush) {
        self.binding_id = push.binding_id;
        let ack = ConfigAck {
            version: push.version,
            status: ConfigAckStatus::Applied,
            reason: None,
        };
        self.say(UplinkMessage::ConfigAck(ack)).await;
    }

    /// The next announcement, confirmed and not acknowledged. It must be of this box's binding.
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

    /// The next announcement that is new, said and acknowledged. What it knows already is acknowledged and not said.
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

    /// Applies configurations until one says that this is where the box stands.
    pub async fn stands(&mut self, binding_id: Option<BindingId>) {
        loop {
            if let DownlinkMessage::ConfigPush(push) = self.next().await
                && push.binding_id == binding_id
            {
                return;
            }
        }
    }

    /// What this box says of an announcement at the time that it was told when it connected.
    pub fn words(&self, payment: &PaymentSuccess) -> Words {
        if self.server_time >= payment.announce_until {
            Words::Nothing
        } else if self.server_time >= payment.delayed_after {
            Words::Delayed
        } else {
            Words::Plain
        }
    }

    /// Says what became of an announcement; returns when the platform has it.
    pub async fn acknowledge(&mut self, event_id: EventId, status: AckStatus) {
        let ack = PaymentAck {
            event_id,
            status,
            played_at: None,
            reason: None,
        };
        self.say(UplinkMessage::PaymentAck(ack)).await;
    }

    /// Says something; returns when it is acknowledged.
    pub async fn say(&mut self, message: UplinkMessage) {
        let payload = message.encode(self.credentials.encoding).unwrap();
        let channel = message.channel();
        assert!(self.say_raw(channel, payload).await, "no PUBACK");
    }

    /// Says these bytes; whether they were acknowledged.
    pub async fn say_raw(&mut self, channel: Channel, payload: Vec<u8>) -> bool {
        let topic = Topic::new(self.credentials.device_id, channel).to_string();
        self.line.publish(&topic, payload).await
    }

    /// Beats once.
    pub async fn beat(&mut self, timestamp: &str) {
        self.beat_at(Some(timestamp)).await;
    }

    /// Beats once, with a timestamp or without one.
    pub async fn beat_at(&mut self, timestamp: Option<&str>) {
        let beat = Heartbeat {
            device_id: self.credentials.device_id,
            timestamp: timestamp.map(str::to_owned),
            firmware_version: Some("1.0.3".to_owned()),
            state: Some("idle".to_owned()),
            network_strength: Some(78),
            battery_level: Some(92),
            extras: wire::message::Extras::default(),
        };
        self.say(UplinkMessage::Heartbeat(beat)).await;
    }

    /// The connection underneath.
    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Waits until the platform has ended the connection.
    pub async fn ended(self) -> ConnectionError {
        self.line.ended().await
    }
}

/// Which words a payment is spoken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// As new.
    Plain,
    /// As delayed.
    Delayed,
    /// Not at all.
    Nothing,
}

/// A box that is switched off.
pub struct Away {
    /// Who it is.
    pub credentials: Credentials,
    binding_id: Option<BindingId>,
    spoken: Vec<PaymentSuccess>,
    repeated: Vec<EventId>,
}

impl Away {
    /// Waits until the platform has noticed.
    pub async fn is_missed(&self, world: &World) {
        eventually("the platform sees that the box is away", || async {
            let seen = self.credentials.view(world).await;
            (seen["online"] == false).then_some(())
        })
        .await;
    }

    /// Is switched on again, and does not subscribe: its session was kept.
    pub async fn come_back(self, world: &World) -> Soundbox {
        let line = dial(world, &self.credentials, false).await.unwrap();
        assert!(line.session_present, "the session is gone");
        let mut soundbox = Soundbox {
            credentials: self.credentials,
            binding_id: self.binding_id,
            spoken: self.spoken,
            repeated: self.repeated,
            server_time: DateTime::UNIX_EPOCH,
            line,
            waiting: VecDeque::new(),
        };
        soundbox.ask_time().await;
        soundbox
    }
}

/// A connection as this box.
///
/// # Errors
/// What the platform has against it.
pub async fn dial(
    world: &World,
    credentials: &Credentials,
    clean: bool,
) -> Result<Line, ConnectionError> {
    Line::dial(Dial {
        to: world.mqtt(),
        client_id: &credentials.device_id.to_string(),
        clean,
        tls: credentials.tls(),
    })
    .await
}
