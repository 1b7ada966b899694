//! A box's connection to the platform: MQTT, or HTTPS where MQTT is blocked. Both produce the same events and take the
//! same messages, so that the box above them does not depend on the transport.

pub mod address;
mod http;
mod mqtt;
pub mod timing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::Serialize;
use wire::{DeviceId, UplinkMessage};

use address::MqttAddress;

use crate::credentials::Credentials;
use crate::soundbox::settings::Settings;
use crate::vendor::credentials::VendorCredentials;
use crate::vendor::firmware::Login;
use timing::LinkTiming;

/// The transport of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A persistent MQTT session.
    #[default]
    Mqtt,
    /// Heartbeats over HTTPS, whose answers carry the platform's messages.
    Http,
}

impl Transport {
    /// `mqtt` or `http`, as in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Http => "http",
        }
    }
}

/// An event of the connection.
#[derive(Debug)]
pub enum LinkEvent {
    /// The connection is established.
    Connected {
        /// Whether the broker has kept this box's session with its subscriptions.
        session_present: bool,
    },
    /// A message of the platform.
    Message(Message),
    /// The platform's time, from an answer over TLS that arrived quickly. HTTPS only.
    Time(DateTime<Utc>),
    /// The next heartbeat is due now. HTTPS only: the answers to heartbeats carry everything else.
    HeartbeatDue,
    /// The broker accepted a subscription.
    Subscribed,
    /// The broker refused the subscription.
    SubscriptionRefused,
    /// The connection was lost, or could not be established.
    Disconnected {
        /// Why.
        reason: String,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
}

/// A message of the platform.
#[derive(Debug)]
pub struct Message {
    topic: String,
    payload: Bytes,
    receipt: Option<mqtt::Receipt>,
}

impl Message {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// One box's connection.
#[derive(Debug)]
pub enum Link {
    /// By MQTT.
    Mqtt(Box<mqtt::MqttLink>),
    /// By HTTPS.
    Http(http::HttpLink),
}

impl Link {
    /// Begins to connect, and reconnects until [`close`](Self::close); after failures it waits up to `backoff_max`. By MQTT to
    /// these addresses, the next when one fails; without any, to the one of its credentials.
    pub fn open(
        transport: Transport,
        credentials: &Credentials,
        addresses: Vec<MqttAddress>,
        keep_alive: Duration,
        backoff_max: Duration,
    ) -> anyhow::Result<Self> {
        let timing = Arc::new(LinkTiming::new(backoff_max));
        Ok(match transport {
            Transport::Mqtt => Self::Mqtt(Box::new(mqtt::MqttLink::open(
                credentials,
                addresses,
                keep_alive,
                timing,
            )?)),
            Transport::Http => Self::Http(http::HttpLink::open(credentials, timing)?),
        })
    }

    /// The same for a box of another maker, which joins with user name and password.
    pub fn open_vendor(
        credentials: &VendorCredentials,
        login: Login,
        subscriptions: Vec<String>,
        keep_alive: Duration,
        backoff_max: Duration,
    ) -> anyhow::Result<Self> {
        let timing = Arc::new(LinkTiming::new(backoff_max));
        let link =
            mqtt::MqttLink::open_vendor(credentials, login, subscriptions, keep_alive, timing)?;
        Ok(Self::Mqtt(Box::new(link)))
    }

    /// The next event; `None` when the connection's task has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        match self {
            Self::Mqtt(link) => link.next().await,
            Self::Http(link) => link.next().await,
        }
    }

    /// Whether the box sends heartbeats on its own; on HTTPS the link requests them by [`LinkEvent::HeartbeatDue`].
    pub fn is_mqtt(&self) -> bool {
        matches!(self, Self::Mqtt(_))
    }

    /// Subscribes to everything that is for this box.
    pub fn subscribe(&self) {
        if let Self::Mqtt(link) = self {
            link.subscribe();
        }
    }

    /// Queues a message to the platform.
    ///
    /// # Errors
    /// A message that breaks a limit.
    pub fn publish(&mut self, device_id: DeviceId, message: &UplinkMessage) -> anyhow::Result<()> {
        match self {
            Self::Mqtt(link) => link.publish(device_id, message),
            Self::Http(link) => link.publish(message),
        }
    }

    /// Queues bytes for a topic of the box's own. Only on MQTT.
    pub fn publish_to(&mut self, topic: &str, payload: Vec<u8>) {
        if let Self::Mqtt(link) = self {
            link.publish_to(topic.to_owned(), payload);
        }
    }

    /// Confirms a message (PUBACK), so that it is not delivered again. On HTTPS the acknowledgement does that.
    pub fn confirm(&mut self, message: Message) {
        if let (Self::Mqtt(link), Some(receipt)) = (self, message.receipt) {
            link.confirm(receipt);
        }
    }

    /// Hands queued messages to the client; `true` when none is left.
    pub fn flush(&mut self) -> bool {
        match self {
            Self::Mqtt(link) => link.flush(),
            Self::Http(_) => true,
        }
    }

    /// Whether messages are queued.
    pub fn is_waiting(&self) -> bool {
        match self {
            Self::Mqtt(link) => link.is_waiting(),
            Self::Http(_) => false,
        }
    }

    /// Applies the box's settings.
    pub fn set_timing(&self, heartbeat: Duration, settings: &Settings) {
        let timing = match self {
            Self::Mqtt(link) => link.timing(),
            Self::Http(link) => link.timing(),
        };
        timing.set(heartbeat, settings.reconnect_jitter());
    }

    /// Drops the connection without a goodbye, as when a cable is pulled, and stays disconnected for at least `away`.
    pub fn cut(&self, away: Duration) {
        let cuts = match self {
            Self::Mqtt(link) => link.cuts(),
            Self::Http(link) => link.cuts(),
        };
        // One cut at a time is enough.
        let _full = cuts.try_send(away);
    }

    /// Disconnects properly, within two seconds.
    pub async fn close(self) {
        match self {
            Self::Mqtt(link) => link.close().await,
            Self::Http(link) => link.close().await,
        }
    }
}
