//! By HTTPS: a beat is sent, its answer brings what MQTT would have brought, in the same signed envelopes, and the
//! acknowledgements go back one by one.
//!
//! The beat asks the platform to hold its answer until there is something to say (`?wait=25`). A platform that does
//! answers late, or with something: then the next beat follows at once. One that does not answers empty-handed and at
//! once, and then the next beat comes when the configuration says so.

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

use super::pace::{Pace, backoff};
use super::{LinkEvent, Message};
use crate::api::{Api, ApiError};
use crate::credentials::Credentials;

/// How long the platform may hold its answer.
const WAIT: Duration = Duration::from_secs(25);

/// What a request may take on top of that.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// An answer that took so long was held.
const HELD_AFTER: Duration = Duration::from_secs(1);

/// The time in an answer is believed when it came within this.
const TIME_FRESH: Duration = Duration::from_secs(2);

/// Beats follow each other no faster than this.
const BEAT_SPACING_MIN: Duration = Duration::from_millis(100);

/// Messages that may wait for the box.
const EVENTS_MAX: usize = 64;

/// Acknowledgements that may wait to be sent.
const ACKS_MAX: usize = 1024;

/// How long the last acknowledgements may take when the box is switched off.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// One box's way to the platform.
#[derive(Debug)]
pub struct HttpLink {
    events: mpsc::Receiver<LinkEvent>,
    beats: mpsc::Sender<Heartbeat>,
    acks: mpsc::Sender<Ack>,
    cuts: mpsc::Sender<Duration>,
    pace: Arc<Pace>,
    polling: JoinHandle<()>,
    sending: JoinHandle<()>,
}

#[derive(Debug)]
struct Ack {
    path: &'static str,
    body: Vec<u8>,
}

/// What a beat is answered.
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

/// The configuration, as it is fetched.
#[derive(Deserialize)]
struct Fetched {
    envelope: Box<RawValue>,
}

impl HttpLink {
    pub(super) fn open(credentials: &Credentials) -> anyhow::Result<Self> {
        let api = credentials.api()?;
        let token: Arc<str> = credentials.device.device_token.as_str().into();
        let pace = Arc::new(Pace::default());
        let (to_box, events) = mpsc::channel(EVENTS_MAX);
        let (beats, beat) = mpsc::channel(1);
        let (cuts, cut) = mpsc::channel(1);
        let (acks, waiting) = mpsc::channel(ACKS_MAX);
        let poller = Poller {
            api: api.clone(),
            token: Arc::clone(&token),
            device_id: credentials.device.device_id,
            events: to_box,
            beats: beat,
            cuts: cut,
            pace: Arc::clone(&pace),
            connected: false,
            config_version: None,
        };
        Ok(Self {
            events,
            beats,
            acks,
            cuts,
            pace,
            polling: tokio::spawn(poller.run()),
            sending: tokio::spawn(send_acks(api, token, waiting)),
        })
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn cuts(&self) -> &mpsc::Sender<Duration> {
        &self.cuts
    }

    pub(super) async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    pub(super) fn publish(&self, message: &UplinkMessage) -> anyhow::Result<()> {
        let path = match message {
            UplinkMessage::Heartbeat(beat) => {
                // Without a taker nobody has asked for one.
                let _sent = self.beats.try_send(beat.clone());
                return Ok(());
            }
            UplinkMessage::PaymentAck(_) => "/device/notifications/ack",
            UplinkMessage::CommandAck(_) => "/device/commands/ack",
            UplinkMessage::ConfigAck(_) => "/device/config/ack",
            // Being there is said by beats, and a QR is asked for by a request of its own.
            UplinkMessage::Status(_) | UplinkMessage::DynamicQrRequest(_) => return Ok(()),
        };
        let body = message.encode(Encoding::Json)?;
        if self.acks.try_send(Ack { path, body }).is_err() {
            // Nothing is lost for good: what the platform needs to hear it asks for again.
            tracing::warn!("too much waits to be sent; an acknowledgement is dropped");
        }
        Ok(())
    }

    pub(super) async fn close(mut self) {
        self.polling.abort();
        // The sender ends when all has been sent and nothing can be added.
        let (nobody, _) = mpsc::channel(1);
        self.acks = nobody;
        let _late = timeout(GOODBYE_MAX, &mut self.sending).await;
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
    beats: mpsc::Receiver<Heartbeat>,
    cuts: mpsc::Receiver<Duration>,
    pace: Arc<Pace>,
    connected: bool,
    /// What was fetched last. The first answer always fetches: whether the last acknowledgement arrived is not known.
    config_version: Option<i64>,
}

/// The box is gone.
struct Gone;

impl Poller {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let first = !self.connected;
            let Ok(beaten) = self.beat().await else {
                return;
            };
            let lost = match beaten {
                Ok(answer) => {
                    failures = 0;
                    let took = started.elapsed();
                    let Ok(brought) = self.deliver(answer, took).await else {
                        return;
                    };
                    let pause = if first || brought || took >= HELD_AFTER {
                        BEAT_SPACING_MIN
                    } else {
                        self.pace.beat()
                    };
                    tokio::select! {
                        () = sleep_until(started + pause) => continue,
                        Some(away) = self.cuts.recv() => Lost::cut(away),
                    }
                }
                Err(lost) => lost,
            };
            let Lost { reason, away } = lost;
            let retry_in = self.pace.retry_in(failures, self.connected).max(away);
            failures = failures.saturating_add(1);
            self.connected = false;
            let lost = LinkEvent::Disconnected { reason, retry_in };
            if self.events.send(lost).await.is_err() {
                return;
            }
            sleep(retry_in).await;
        }
    }

    /// One beat and its answer.
    async fn beat(&mut self) -> Result<Result<Answer, Lost>, Gone> {
        self.tell(LinkEvent::BeatWanted).await?;
        let beat = self.beats.recv().await.ok_or(Gone)?;
        let body = match UplinkMessage::Heartbeat(beat).encode(Encoding::Json) {
            Ok(body) => body,
            Err(error) => return Ok(Err(Lost::because(error))),
        };
        // The first beat is answered at once, because the box needs the time.
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

    /// Hands over what an answer brings: the configuration first, because it says whose payments are the box's.
    /// `true` when there was anything.
    async fn deliver(&mut self, answer: Answer, took: Duration) -> Result<bool, Gone> {
        if !self.connected {
            self.connected = true;
            self.tell(LinkEvent::Connected {
                session_present: true,
            })
            .await?;
        }
        if took <= TIME_FRESH {
            self.tell(LinkEvent::Time(answer.server_time)).await?;
        }
        let mut brought = false;
        if self.config_version != Some(answer.config_version) {
            match self.fetch_config().await {
                Ok(envelope) => {
                    brought = self.config_version.is_some();
                    self.config_version = Some(answer.config_version);
                    self.hand_over(Channel::ConfigPush, &envelope).await?;
                }
                Err(error) => tracing::warn!("the configuration cannot be fetched: {error}"),
            }
        }
        for envelope in &answer.notifications {
            self.hand_over(Channel::PaymentSuccess, envelope).await?;
        }
        for envelope in &answer.commands {
            self.hand_over(Channel::Command, envelope).await?;
        }
        Ok(brought || !answer.notifications.is_empty() || !answer.commands.is_empty())
    }

    async fn fetch_config(&self) -> Result<Box<RawValue>, ApiError> {
        let answer: Fetched = self
            .api
            .get_bytes("/device/config", Some(&self.token))
            .await
            .and_then(data)?;
        Ok(answer.envelope)
    }

    async fn hand_over(&self, channel: Channel, envelope: &RawValue) -> Result<(), Gone> {
        self.tell(LinkEvent::Message(Message {
            topic: Topic::new(self.device_id, channel).to_string(),
            payload: Bytes::copy_from_slice(envelope.get().as_bytes()),
            receipt: None,
        }))
        .await
    }

    async fn tell(&self, event: LinkEvent) -> Result<(), Gone> {
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

/// The `data` of an answer, with what is inside byte for byte, because it is signed.
fn data<T: DeserializeOwned>(answer: Vec<u8>) -> Result<T, ApiError> {
    serde_json::from_slice::<Enveloped<T>>(&answer)
        .map(|answer| answer.data)
        .map_err(|error| ApiError::Unexpected {
            status: 200,
            problem: error.to_string(),
        })
}

/// Sends acknowledgements in order, each until it is taken or refused for good.
async fn send_acks(api: Api, token: Arc<str>, mut waiting: mpsc::Receiver<Ack>) {
    while let Some(ack) = waiting.recv().await {
        for failures in 0.. {
            let body = ack.body.clone();
            let sent = api
                .post_bytes_within(ack.path, Some(&token), &[], body, ANSWER_MAX)
                .await;
            match sent {
                Ok(_) => break,
                Err(error) if error.is_temporary() => sleep(backoff(failures)).await,
                Err(error) => {
                    tracing::warn!("{} is not taken: {error}", ack.path);
                    break;
                }
            }
        }
    }
}
