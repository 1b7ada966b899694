//! A box's way to the platform: MQTT, or HTTPS where that is all there is. Both tell the same events and take the
//! same messages, so that the box above them is one and the same.

mod http;
mod mqtt;
pub mod pace;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::Serialize;
use wire::{DeviceId, UplinkMessage};

use crate::credentials::Credentials;
use crate::soundbox::settings::Settings;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A persistent MQTT session.
    #[default]
    Mqtt,
    /// Beats over HTTPS, whose answers bring what MQTT would.
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

/// What the connection tells the box.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected.
    Connected {
        /// Whether the broker still has this box's subscriptions.
        session_present: bool,
    },
    /// A message.
    Message(Message),
    /// The platform's time, from an answer that TLS has proven and that did not take long. HTTPS only.
    Time(DateTime<Utc>),
    /// The next beat is due now. HTTPS only: its beats are what brings the rest.
    BeatWanted,
    /// The broker will not have the subscription.
    SubscriptionRefused,
    /// The connection is gone, or could not be made.
    Disconnected {
        /// Why.
        reason: String,
        /// When the next attempt comes.
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
    /// Where it was published.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What it says.
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
    /// Begins to connect, and goes on until [`close`](Self::close).
    ///
    /// # Errors
    /// Credentials that cannot be used.
    pub fn open(
        transport: Transport,
        credentials: &Credentials,
        keep_alive: Duration,
    ) -> anyhow::Result<Self> {
        Ok(match transport {
            Transport::Mqtt => Self::Mqtt(Box::new(mqtt::MqttLink::open(credentials, keep_alive)?)),
            Transport::Http => Self::Http(http::HttpLink::open(credentials)?),
        })
    }

    /// The next thing that happens; `None` when the connection's task has ended. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        match self {
            Self::Mqtt(link) => link.next().await,
            Self::Http(link) => link.next().await,
        }
    }

    /// Whether the box has to say when it beats; otherwise the link asks for beats.
    pub fn is_mqtt(&self) -> bool {
        matches!(self, Self::Mqtt(_))
    }

    /// Asks for everything that is for this box.
    pub fn subscribe(&self) {
        if let Self::Mqtt(link) = self {
            link.subscribe();
        }
    }

    /// Takes a message to the platform, when there is room.
    ///
    /// # Errors
    /// A message that breaks a limit.
    pub fn publish(&mut self, device_id: DeviceId, message: &UplinkMessage) -> anyhow::Result<()> {
        match self {
            Self::Mqtt(link) => link.publish(device_id, message),
            Self::Http(link) => link.publish(message),
        }
    }

    /// Confirms a message: it will not come again. By HTTPS the acknowledgement itself does that.
    pub fn confirm(&mut self, message: Message) {
        if let (Self::Mqtt(link), Some(receipt)) = (self, message.receipt) {
            link.confirm(receipt);
        }
    }

    /// Hands over what there is room for; `true` when nothing waits any more.
    pub fn flush(&mut self) -> bool {
        match self {
            Self::Mqtt(link) => link.flush(),
            Self::Http(_) => true,
        }
    }

    /// Whether something waits for room.
    pub fn is_waiting(&self) -> bool {
        match self {
            Self::Mqtt(link) => link.is_waiting(),
            Self::Http(_) => false,
        }
    }

    /// Follows the box's settings.
    pub fn set_pace(&self, beat: Duration, settings: &Settings) {
        let pace = match self {
            Self::Mqtt(link) => link.pace(),
            Self::Http(link) => link.pace(),
        };
        pace.set(beat, settings.reconnect_jitter());
    }

    /// Loses the connection without a word, as when a cable is pulled, and stays away for so long at least.
    pub fn cut(&self, away: Duration) {
        let cuts = match self {
            Self::Mqtt(link) => link.cuts(),
            Self::Http(link) => link.cuts(),
        };
        // One cut at a time is enough.
        let _full = cuts.try_send(away);
    }

    /// Ends in order, within two seconds.
    pub async fn close(self) {
        match self {
            Self::Mqtt(link) => link.close().await,
            Self::Http(link) => link.close().await,
        }
    }
}
