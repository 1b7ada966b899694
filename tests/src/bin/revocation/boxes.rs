//! A box that sends heartbeats on request, acknowledges payments, and reconnects when its session is ended.

use std::time::Duration;

use chrono::Utc;
use tests::connection::Connection;
use tests::provision::Provisioned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::message::{AckStatus, Extras, Heartbeat, PaymentAck};
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, Topic, UplinkMessage};

/// How many heartbeats may be queued for a box.
const BEATS_MAX: usize = 8;
/// How long a box waits before it reconnects.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What happened to a box.
pub(crate) enum What {
    /// It received a payment.
    Heard,
    /// Its connection ended.
    Ended,
    /// It was admitted again.
    CameBack,
    /// It was refused.
    Refused,
}

/// An event at a box.
pub(crate) struct Seen {
    pub(crate) device_id: DeviceId,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// A connected box.
pub(crate) struct Live {
    pub(crate) device_id: DeviceId,
    pub(crate) terminal_label: Option<String>,
    heartbeats: mpsc::Sender<()>,
}

impl Live {
    pub(crate) async fn switch_on(
        made: Provisioned,
        seen: mpsc::UnboundedSender<Seen>,
    ) -> anyhow::Result<Self> {
        let connection = made.listen().await?;
        let (heartbeats, asked) = mpsc::channel(BEATS_MAX);
        let (device_id, terminal_label) = (made.device_id, made.terminal_label.clone());
        tokio::spawn(Soundbox { made, seen }.live(connection, asked));
        Ok(Self {
            device_id,
            terminal_label,
            heartbeats,
        })
    }

    /// The sender of its heartbeat requests.
    pub(crate) fn sender(&self) -> mpsc::Sender<()> {
        self.heartbeats.clone()
    }
}

struct Soundbox {
    made: Provisioned,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Soundbox {
    async fn live(self, connection: Connection, mut heartbeats: mpsc::Receiver<()>) {
        let mut connected = Some(connection);
        loop {
            if let Some(connection) = connected.take() {
                self.talk(connection, &mut heartbeats).await;
                self.say(What::Ended);
            }
            tokio::time::sleep(RETRY_EVERY).await;
            match self.made.listen().await {
                Ok(connection) => {
                    self.say(What::CameBack);
                    connected = Some(connection);
                }
                Err(_) => self.say(What::Refused),
            }
            if self.seen.is_closed() {
                return;
            }
        }
    }

    /// Until the connection ends.
    async fn talk(&self, mut connection: Connection, heartbeats: &mut mpsc::Receiver<()>) {
        loop {
            tokio::select! {
                publish = connection.try_receive() => {
                    let Some(publish) = publish else { return };
                    self.say(What::Heard);
                    let ack = self.acknowledgement(&publish);
                    connection.confirm(&publish).await;
                    if let Some(ack) = ack {
                        self.send(&mut connection, &ack).await;
                    }
                }
                Some(()) = heartbeats.recv() => {
                    let heartbeat = self.heartbeat();
                    self.send(&mut connection, &heartbeat).await;
                }
            }
        }
    }

    fn say(&self, what: What) {
        let (device_id, at) = (self.made.device_id, Instant::now());
        let _ = self.seen.send(Seen {
            device_id,
            at,
            what,
        });
    }

    async fn send(&self, connection: &mut Connection, message: &UplinkMessage) {
        let topic = Topic::new(self.made.device_id, message.channel()).to_string();
        if let Ok(payload) = message.encode(Encoding::Json) {
            // The end of the connection is reported elsewhere.
            connection.try_send(&topic, payload).await;
        }
    }

    fn acknowledgement(&self, publish: &rumqttc::Publish) -> Option<UplinkMessage> {
        let opened = self.made.keys.open(
            self.made.device_id,
            Channel::PaymentSuccess,
            &publish.payload,
        );
        let Ok(DownlinkMessage::PaymentSuccess(payment)) = opened else {
            return None;
        };
        Some(UplinkMessage::PaymentAck(PaymentAck {
            event_id: payment.event_id,
            status: AckStatus::Played,
            played_at: Some(now().to_rfc3339()),
            reason: None,
        }))
    }

    fn heartbeat(&self) -> UplinkMessage {
        UplinkMessage::Heartbeat(Heartbeat {
            device_id: self.made.device_id,
            timestamp: Some(now().to_rfc3339()),
            firmware_version: Some("1.0.0".to_owned()),
            state: Some("idle".to_owned()),
            network_strength: Some(78),
            battery_level: Some(92),
            extras: Extras::default(),
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program that measures the present"
)]
pub(crate) fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}
