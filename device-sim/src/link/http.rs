//! The HTTPS link: the answer to a heartbeat carries what MQTT would have carried, in the same signed envelopes;
//! acknowledgements are posted one by one.
//!
//! A heartbeat requests a long poll (`?wait=25`). When its answer was held or carries something, the next heartbeat
//! follows at once. A platform without long polling answers empty and at once, and then the next heartbeat follows
//! after the configured interval.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::message::Heartbeat;
use wire::{Channel, DeviceId, Encoding, Topic, UplinkMessage};

use super::timing::LinkTiming;
use super::{LinkEvent, Message};
use crate::api::{Api, ApiError};
use crate::credentials::Credentials;

/// How long the platform may hold its answer.
const WAIT: Duration = Duration::from_secs(25);

/// The time limit of a request, in addition to a requested wait.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// An answer that took this long was held by the platform.
const HELD_AFTER: Duration = Duration::from_secs(1);

/// The time in an answer is used when the answer arrived within this.
const TIME_FRESH: Duration = Duration::from_secs(2);

/// The shortest time between two heartbeats.
const HEARTBEAT_SPACING_MIN: Duration = Duration::from_millis(100);

/// Events that may wait for the box.
const EVENTS_MAX: usize = 64;

/// Acknowledgements that may wait to be sent.
const ACKS_MAX: usize = 1024;

/// The time limit for the last acknowledgements when the link is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One box's connection.
#[derive(Debug)]
pub struct HttpLink {
    events: mpsc::Receiver<LinkEvent>,
    heartbeats: mpsc::Sender<Heartbeat>,
    acks: mpsc::Sender<Ack>,
    cuts: mpsc::Sender<Duration>,
    timing: Arc<LinkTiming>,
    polling: JoinHandle<()>,
    sending: JoinHandle<()>,
}

#[derive(Debug)]
struct Ack {
    path: &'static str,
    body: Vec<u8>,
}

/// The answer to a heartbeat.
#[derive(Deserialize)]
struct Answer {
    server_time: DateTime<Utc>,
    #[serde(default)]
    commands: Vec<Box<RawValue>>,
    #[serde(default)]
    notifications: Vec<Box<RawValue>>,
    #[serde(default)]
    config_version: i64,
}

/// The answer to a configuration request.
#[derive(Deserialize)]
struct Fetched {
    envelope: Box<RawValue>,
}

impl HttpLink {
    pub(super) fn open(credentials: &Credentials, timing: Arc<LinkTiming>) -> anyhow::Result<Self> {
        let api = credentials.api()?;
        let token: Arc<str> = credentials.device.device_token.as_str().into();
        let (to_box, events) = mpsc::channel(EVENTS_MAX);
        let (heartbeats, taken) = mpsc::channel(1);
        let (cuts, cut) = mpsc::channel(1);
        let (acks, waiting) = mpsc::channel(ACKS_MAX);
        let poller = Poller {
            api: api.clone(),
            token: Arc::clone(&token),
            device_id: credentials.device.device_id,
            events: to_box,
            heartbeats: taken,
            cuts: cut,
            timing: Arc::clone(&timing),
            connected: false,
            config_version: None,
        };
        Ok(Self {
            events,
            heartbeats,
            acks,
            cuts,
            polling: tokio::spawn(poller.run()),
            sending: tokio::spawn(send_acks(api, token, Arc::clone(&timing), waiting)),
            timing,
        })
    }

    pub(super) fn timing(&self) -> &LinkTiming {
        &self.timing
    }

    pub(super) fn cuts(&self) -> &mpsc::Sender<Duration> {
        &self.cuts
    }

    pub(super) async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    pub(super) fn publish(&self, message: &UplinkMessage) -> anyhow::Result<()> {
        let path = match message {
            UplinkMessage::Heartbeat(heartbeat) => {
                // When the channel is full, the poller has a heartbeat and did not request another.
                let _sent = self.heartbeats.try_send(heartbeat.clone());
                return Ok(());
            }
            UplinkMessage::PaymentAck(_) => "/device/notifications/ack",
            UplinkMessage::CommandAck(_) => "/device/commands/ack",
            UplinkMessage::ConfigAck(_) => "/device/config/ack",
            UplinkMessage::ReplayRequest(_) => "/device/notifications/replay-request",
            UplinkMessage::TotalRequest(_) => "/device/total-request",
            // Heartbeats replace statuses, and a QR has a request of its own.
            UplinkMessage::Status(_) | UplinkMessage::DynamicQrRequest(_) => return Ok(()),
        };
        let body = message.encode(Encoding::Json)?;
        if self.acks.try_send(Ack { path, body }).is_err() {
            // Nothing is lost for good: the platform sends again what was not acknowledged.
            tracing::warn!("the queue of acknowledgements is full; one is dropped");
        }
        Ok(())
    }

    pub(super) async fn close(mut self) {
        self.polling.abort();
        // With the channel's sender dropped, the task ends when everything has been sent.
        let (closed, _) = mpsc::channel(1);
        self.acks = closed;
        let _late = timeout(CLOSE_WITHIN, &mut self.sending).await;
    }
}

impl Drop for HttpLink {
    fn drop(&mut self) {
        self.polling.abort();
        self.sending.abort();
    }
}

struct Poller {
    api: Api,
    token: Arc<str>,
    device_id: DeviceId,
    events: mpsc::Sender<LinkEvent>,
    heartbeats: mpsc::Receiver<Heartbeat>,
    cuts: mpsc::Receiver<Duration>,
    timing: Arc<LinkTiming>,
    connected: bool,
    /// The version that was fetched last. The first answer always fetches: the last acknowledgement may be lost.
    config_version: Option<i64>,
}

/// The session has ended.
struct Gone;

impl Poller {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let first = !self.connected;
            let Ok(polled) = self.send_heartbeat().await else {
                return;
            };
            let lost = match polled {
                Ok(answer) => {
                    failures = 0;
                    let took = started.elapsed();
                    let Ok(delivered) = self.deliver(answer, took).await else {
                        return;
                    };
                    let pause = if first || delivered || took >= HELD_AFTER {
                        HEARTBEAT_SPACING_MIN
                    } else {
                        self.timing.heartbeat_interval()
                    };
                    tokio::select! {
                        () = sleep_until(started + pause) => continue,
                        Some(away) = self.cuts.recv() => Lost::cut(away),
                    }
                }
                Err(lost) => lost,
            };
            let Lost { reason, away } = lost;
            let retry_in = self.timing.retry_in(failures, self.connected).max(away);
            failures = failures.saturating_add(1);
            self.connected = false;
            let lost = LinkEvent::Disconnected { reason, retry_in };
            if self.events.send(lost).await.is_err() {
                return;
            }
            sleep(retry_in).await;
        }
    }

    /// One heartbeat and its answer.
    async fn send_heartbeat(&mut self) -> Result<Result<Answer, Lost>, Gone> {
        self.send_event(LinkEvent::HeartbeatDue).await?;
        let heartbeat = self.heartbeats.recv().await.ok_or(Gone)?;
        let body = match UplinkMessage::Heartbeat(heartbeat).encode(Encoding::Json) {
            Ok(body) => body,
            Err(error) => return Ok(Err(Lost::because(error))),
        };
        // The first heartbeat requests no wait, because the box needs the time.
        let (path, within) = if self.connected {
            let path = format!("/device/heartbeat?wait={}", WAIT.as_secs());
            (path, WAIT + ANSWER_MAX)
        } else {
            ("/device/heartbeat".to_owned(), ANSWER_MAX)
        };
        tokio::select! {
            answer = self.api.post_bytes_within(&path, Some(&self.token), &[], body, within) => Ok(read(answer)),
            Some(away) = self.cuts.recv() => Ok(Err(Lost::cut(away))),
        }
    }

    /// Delivers the messages in an answer to the box: the configuration first, because the binding decides which
    /// payments are announced. `true` when there was any message.
    async fn deliver(&mut self, answer: Answer, took: Duration) -> Result<bool, Gone> {
        if !self.connected {
            self.connected = true;
            self.send_event(LinkEvent::Connected {
                session_present: true,
            })
            .await?;
        }
        if took <= TIME_FRESH {
            self.send_event(LinkEvent::Time(answer.server_time)).await?;
        }
        let mut delivered = false;
        if self.config_version != Some(answer.config_version) {
            match self.fetch_config().await {
                Ok(envelope) => {
                    delivered = self.config_version.is_some();
                    self.config_version = Some(answer.config_version);
                    self.deliver_message(Channel::ConfigPush, &envelope).await?;
                }
                Err(error) => tracing::warn!("the configuration cannot be fetched: {error}"),
            }
        }
        for envelope in &answer.notifications {
            self.deliver_message(Channel::PaymentSuccess, envelope)
                .await?;
        }
        for envelope in &answer.commands {
            self.deliver_message(Channel::Command, envelope).await?;
        }
        Ok(delivered || !answer.notifications.is_empty() || !answer.commands.is_empty())
    }

    async fn fetch_config(&self) -> Result<Box<RawValue>, ApiError> {
        let answer: Fetched = self
            .api
            .get_bytes("/device/config", Some(&self.token))
            .await
            .and_then(data)?;
        Ok(answer.envelope)
    }

    async fn deliver_message(&self, channel: Channel, envelope: &RawValue) -> Result<(), Gone> {
        self.send_event(LinkEvent::Message(Message {
            topic: Topic::new(self.device_id, channel).to_string(),
            payload: Bytes::copy_from_slice(envelope.get().as_bytes()),
            receipt: None,
        }))
        .await
    }

    async fn send_event(&self, event: LinkEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }
}

struct Lost {
    reason: String,
    away: Duration,
}

impl Lost {
    fn cut(away: Duration) -> Self {
        Self {
            reason: "cut".to_owned(),
            away,
        }
    }

    fn because(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            away: Duration::ZERO,
        }
    }
}

fn read(answer: Result<Vec<u8>, ApiError>) -> Result<Answer, Lost> {
    answer.and_then(data).map_err(|error| match error {
        ApiError::Refused { status: 401, .. } => Lost::because("not_authorized"),
        error => Lost::because(error),
    })
}

#[derive(Deserialize)]
struct Enveloped<T> {
    data: T,
}

/// The `data` of an answer; envelopes inside are kept byte for byte, because they are signed.
fn data<T: DeserializeOwned>(answer: Vec<u8>) -> Result<T, ApiError> {
    serde_json::from_slice::<Enveloped<T>>(&answer)
        .map(|answer| answer.data)
        .map_err(|error| ApiError::Unexpected {
            status: 200,
            problem: error.to_string(),
        })
}

/// Sends acknowledgements in order, each until it is accepted or refused for good.
async fn send_acks(
    api: Api,
    token: Arc<str>,
    timing: Arc<LinkTiming>,
    mut waiting: mpsc::Receiver<Ack>,
) {
    while let Some(ack) = waiting.recv().await {
        for failures in 0.. {
            let body = ack.body.clone();
            let sent = api
                .post_bytes_within(ack.path, Some(&token), &[], body, ANSWER_MAX)
                .await;
            match sent {
                Ok(_) => break,
                Err(error) if error.is_temporary() => sleep(timing.repeat_in(failures)).await,
                Err(error) => {
                    tracing::warn!("{} is refused: {error}", ack.path);
                    break;
                }
            }
        }
    }
}
