//! A box that beats when it is told to, acknowledges what it hears, and tries to come back when it is thrown out.

use std::time::Duration;

use chrono::Utc;
use tests::line::Line;
use tests::provision::Provisioned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::message::{AckStatus, Extras, Heartbeat, PaymentAck};
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, Topic, UplinkMessage};

/// How many beats may wait for a box.
const BEATS_MAX: usize = 8;
/// How long a box that was thrown out waits before it tries again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What happened to a box.
pub(crate) enum What {
    /// It was told of a payment.
    Heard,
    /// Its connection ended.
    Ended,
    /// It was let in again.
    CameBack,
    /// It was not.
    Refused,
}

/// Something that a box saw.
pub(crate) struct Seen {
    pub(crate) device_id: DeviceId,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// A box that is switched on.
pub(crate) struct Live {
    pub(crate) device_id: DeviceId,
    pub(crate) terminal_label: Option<String>,
    beats: mpsc::Sender<()>,
}

impl Live {
    pub(crate) async fn switch_on(
        made: Provisioned,
        seen: mpsc::UnboundedSender<Seen>,
    ) -> anyhow::Result<Self> {
        let line = made.listen().await?;
        let (beats, asked) = mpsc::channel(BEATS_MAX);
        let (device_id, terminal_label) = (made.device_id, made.terminal_label.clone());
        tokio::spawn(Soundbox { made, seen }.live(line, asked));
        Ok(Self {
            device_id,
            terminal_label,
            beats,
        })
    }

    /// What has it beat.
    pub(crate) fn beater(&self) -> mpsc::Sender<()> {
        self.beats.clone()
    }
}

struct Soundbox {
    made: Provisioned,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Soundbox {
    async fn live(self, line: Line, mut beats: mpsc::Receiver<()>) {
        let mut connected = Some(line);
        loop {
            if let Some(line) = connected.take() {
                self.talk(line, &mut beats).await;
                self.say(What::Ended);
            }
            tokio::time::sleep(RETRY_EVERY).await;
            match self.made.listen().await {
                Ok(line) => {
                    self.say(What::CameBack);
                    connected = Some(line);
                }
                Err(_) => self.say(What::Refused),
            }
            if self.seen.is_closed() {
                return;
            }
        }
    }

    /// Until the connection ends.
    async fn talk(&self, mut line: Line, beats: &mut mpsc::Receiver<()>) {
        loop {
            tokio::select! {
                publish = line.hear_if_any() => {
                    let Some(publish) = publish else { return };
                    self.say(What::Heard);
                    let ack = self.acknowledgement(&publish);
                    line.confirm(&publish).await;
                    if let Some(ack) = ack {
                        self.send(&mut line, &ack).await;
                    }
                }
                Some(()) = beats.recv() => {
                    let beat = self.heartbeat();
                    self.send(&mut line, &beat).await;
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

    async fn send(&self, line: &mut Line, message: &UplinkMessage) {
        let topic = Topic::new(self.made.device_id, message.channel()).to_string();
        if let Ok(payload) = message.encode(Encoding::Json) {
            // That the connection is gone is heard of soon.
            line.try_send(&topic, payload).await;
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
