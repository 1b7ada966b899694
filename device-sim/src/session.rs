//! One running box: its state machine, its connection and its voice, until it is told to stop.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;
use wire::message::{OnlineState, Status};
use wire::{DeviceId, EventId, UplinkMessage};

use crate::clock;
use crate::credentials::Credentials;
use crate::link::{Link, LinkEvent};
use crate::report::{Event, Listener, Report};
use crate::soundbox::counters::Counters;
use crate::soundbox::journal::{Durability, Journal};
use crate::soundbox::{Action, Soundbox};
use crate::voice::Voice;

/// How often a box looks whether something is overdue.
const TICK: Duration = Duration::from_millis(250);

/// How long a box that is switched off in order goes on with its sentence.
const SENTENCE_END_MAX: Duration = Duration::from_secs(10);

/// The time between signs of life when nobody says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How soon it tries again to hand over what found no room.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);

/// How a box runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time between signs of life, if it is not the configuration that says so.
    pub heartbeat: Option<Duration>,
    /// MQTT's own.
    pub keep_alive: Duration,
    /// How it sounds.
    pub voice: Voice,
    /// How its journal is written.
    pub durability: Durability,
}

/// A sentence that was begun has ended.
struct Said {
    event_id: EventId,
    problem: Option<String>,
}

struct Session {
    credentials: Credentials,
    options: Options,
    listener: Listener,
    soundbox: Soundbox,
    link: Link,
    beats: Interval,
    connected: bool,
    /// Statuses without an answer in a row.
    unanswered: u32,
    said: mpsc::Sender<Said>,
    reboot: bool,
}

/// Runs a box until `stop`. A reboot by command is a new start from what is on the disk.
///
/// # Errors
/// Credentials or a journal that cannot be used.
pub async fn run(
    mut credentials: Credentials,
    options: Options,
    listener: Listener,
    stop: CancellationToken,
) -> anyhow::Result<Counters> {
    let mut total = Counters::default();
    loop {
        let journal = Journal::open(credentials.dir(), options.durability)
            .context("the journal cannot be used")?;
        let soundbox = Soundbox::start(credentials.identity(), journal)
            .context("the journal cannot be written")?;
        let link = Link::open(&credentials, options.keep_alive)?;
        // One sentence at a time.
        let (said, mut ended) = mpsc::channel(1);
        let beats = beats(&options, &credentials);
        let mut session = Session {
            credentials,
            options: options.clone(),
            listener: listener.clone(),
            soundbox,
            link,
            beats,
            connected: false,
            unanswered: 0,
            said,
            reboot: false,
        };
        let mut result = session.live(&mut ended, &stop).await;
        if result.is_ok() {
            result = session.end_sentence(&mut ended).await;
        }
        total += session.soundbox.counters();
        let reboot = session.reboot && !stop.is_cancelled();
        session.goodbye(if reboot { "reboot" } else { "shutdown" });
        if !reboot {
            session.tell(Event::Stopped { counters: total });
        }
        session.link.close().await;
        result?;
        if !reboot {
            return Ok(total);
        }
        credentials = session.credentials;
    }
}

/// When signs of life are due: by the command line, else by the box's configuration. The first one is said on
/// connecting.
fn beats(options: &Options, credentials: &Credentials) -> Interval {
    let configured = credentials.device.config["heartbeat_interval_s"]
        .as_u64()
        .filter(|s| (1..=86_400).contains(s));
    let every = options
        .heartbeat
        .or(configured.map(Duration::from_secs))
        .unwrap_or(HEARTBEAT);
    let mut beats = interval_at(tokio::time::Instant::now() + every, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

impl Session {
    async fn live(
        &mut self,
        ended: &mut mpsc::Receiver<Said>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.reboot {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = self.link.next() => match event {
                    Some(event) => self.heard(event)?,
                    None => anyhow::bail!("the connection's task has ended"),
                },
                Some(said) = ended.recv() => self.said(said)?,
                _ = self.beats.tick() => if self.connected {
                    self.beat()?;
                },
                _ = ticks.tick() => self.ask_again()?,
                () = tokio::time::sleep(FLUSH_AGAIN), if self.link.is_waiting() => {
                    self.link.flush();
                }
            }
        }
        Ok(())
    }

    /// Before the box is switched off in order it says to the end what it has begun.
    async fn end_sentence(&mut self, ended: &mut mpsc::Receiver<Said>) -> anyhow::Result<()> {
        self.soundbox.rest();
        if !self.soundbox.is_speaking() {
            return Ok(());
        }
        // The link goes on by itself meanwhile; what it brings is not confirmed, and so comes again.
        match tokio::time::timeout(SENTENCE_END_MAX, ended.recv()).await {
            Ok(Some(said)) => self.said(said),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn said(&mut self, said: Said) -> anyhow::Result<()> {
        let actions = match said.problem {
            None => self.soundbox.spoken(said.event_id, Instant::now()),
            Some(problem) => {
                tracing::warn!(problem, "a sentence could not be said");
                self.soundbox
                    .not_spoken(said.event_id, "speaker_failed", Instant::now())
            }
        };
        self.act(actions.context("the journal cannot be written")?)
    }

    fn device_id(&self) -> DeviceId {
        self.credentials.device.device_id
    }

    fn tell(&self, event: Event) {
        let at = self
            .soundbox
            .time(Instant::now())
            .unwrap_or_else(clock::now);
        (self.listener)(&Report {
            device_id: self.device_id(),
            at,
            event,
        });
    }

    fn heard(&mut self, event: LinkEvent) -> anyhow::Result<()> {
        match event {
            LinkEvent::Connected { session_present } => {
                self.connected = true;
                self.unanswered = 0;
                self.tell(Event::Connected { session_present });
                if !session_present {
                    self.link.subscribe();
                }
                self.ask_time()?;
                self.beat()
            }
            LinkEvent::Message(message) => {
                let now = Instant::now();
                let actions = self
                    .soundbox
                    .receive(message.topic(), message.payload(), now)
                    .context("the journal cannot be written")?;
                // It is on the disk now, whatever comes next.
                self.link.confirm(message);
                self.act(actions)
            }
            LinkEvent::SubscriptionRefused => {
                let reason = "the broker refused the subscription".to_owned();
                self.tell(Event::Refused {
                    topic: "subscribe".to_owned(),
                    reason,
                });
                Ok(())
            }
            LinkEvent::Disconnected { reason, retry_in } => {
                self.connected = false;
                let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.tell(Event::Disconnected {
                    reason,
                    retry_in_ms,
                });
                Ok(())
            }
        }
    }

    fn beat(&mut self) -> anyhow::Result<()> {
        let beat = self.soundbox.heartbeat(Instant::now());
        self.link.publish(self.device_id(), &beat)
    }

    fn ask_time(&mut self) -> anyhow::Result<()> {
        let actions = self.soundbox.connected(clock::nonce(), Instant::now());
        self.act(actions)
    }

    /// Repeats a status whose answer does not come; from the second time on it also subscribes anew, in case that the
    /// broker's memory of this box is not what it said it was.
    fn ask_again(&mut self) -> anyhow::Result<()> {
        if !self.connected || !self.soundbox.is_time_overdue(Instant::now()) {
            return Ok(());
        }
        self.unanswered += 1;
        if self.unanswered >= 2 {
            self.link.subscribe();
        }
        self.ask_time()
    }

    /// Carries out what the box decided, in order.
    fn act(&mut self, actions: Vec<Action>) -> anyhow::Result<()> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Send(message) => {
                    self.link.publish(self.device_id(), &message)?;
                    if let UplinkMessage::PaymentAck(ack) = message {
                        self.tell(Event::Acked {
                            event_id: ack.event_id,
                            status: ack.status,
                            reason: ack.reason,
                        });
                    }
                }
                Action::Received {
                    event_id,
                    sequence,
                    sent_at,
                } => {
                    let now = self.soundbox.time(Instant::now());
                    let sent_to_received_ms = now.map(|now| (now - sent_at).num_milliseconds());
                    self.tell(Event::Received {
                        event_id,
                        sequence,
                        sent_to_received_ms,
                    });
                }
                Action::Speak(sentence) => {
                    self.tell(Event::Spoken {
                        event_id: sentence.event_id,
                        transaction_id: sentence.transaction_id,
                        amount: sentence.amount,
                        text: sentence.text.clone(),
                        delayed: sentence.delayed,
                    });
                    if let Voice::Silent = self.options.voice {
                        let more = self.soundbox.spoken(sentence.event_id, Instant::now());
                        actions.extend(more.context("the journal cannot be written")?);
                    } else {
                        self.say(sentence.event_id, sentence.text);
                    }
                }
                Action::Configure(push) => {
                    let (version, bound) = (push.version, push.binding_id.is_some());
                    self.credentials.device.binding_id = push.binding_id;
                    self.credentials.device.config_version = push.version;
                    self.credentials.device.config = push.config;
                    self.credentials.save()?;
                    self.beats = beats(&self.options, &self.credentials);
                    self.tell(Event::Configured { version, bound });
                }
                Action::Obeyed {
                    command_id,
                    kind,
                    payload,
                    status,
                } => {
                    self.tell(Event::Command {
                        command_id,
                        kind,
                        payload,
                        status,
                    });
                }
                Action::Qr(response) => {
                    self.tell(Event::qr(response.correlation_id, response.outcome))
                }
                Action::ClockSet(_) => {
                    self.unanswered = 0;
                    self.tell(Event::ClockSet);
                }
                Action::Reboot => {
                    self.tell(Event::Rebooting);
                    self.reboot = true;
                }
                Action::Refused { topic, reason } => {
                    self.tell(Event::Refused {
                        topic: topic.to_string(),
                        reason,
                    });
                }
            }
        }
        Ok(())
    }

    fn say(&self, event_id: EventId, text: String) {
        let (voice, said) = (self.options.voice.clone(), self.said.clone());
        tokio::spawn(async move {
            let problem = voice
                .say(&text)
                .await
                .err()
                .map(|error| format!("{error:#}"));
            // When the box is gone meanwhile, its journal knows that the sentence was interrupted.
            let _gone = said.send(Said { event_id, problem }).await;
        });
    }

    /// A clean end says so itself, because then the will is not said.
    fn goodbye(&mut self, reason: &str) {
        if !self.connected {
            return;
        }
        let status = Status {
            state: OnlineState::Offline,
            firmware_version: Some(self.credentials.device.firmware_version.clone()),
            reason: Some(reason.to_owned()),
            nonce: None,
        };
        if let Err(error) = self
            .link
            .publish(self.device_id(), &UplinkMessage::Status(status))
        {
            tracing::warn!("cannot say goodbye: {error:#}");
        }
    }
}
