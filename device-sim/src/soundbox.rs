//! The box as a state machine without a network.
//!
//! A message or the end of a sentence goes in with the present time, and [`Action`]s come out, to be carried out in
//! order. The only side effect of the state machine is its [`journal`], because the order matters: a notification is in
//! the journal before it is confirmed and before it is spoken. When a method returns an error, nothing must be confirmed.
//!
//! Payments are in [`announcement`], commands in [`command`]. They share one loudspeaker; payments come first.

pub mod action;
mod announcement;
pub mod clock;
mod command;
pub mod counters;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod identity;
pub mod journal;
pub mod settings;

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use wire::message::{
    ConfigAck, ConfigAckStatus, ConfigPush, Extras, Heartbeat, OnlineState, PaymentSuccess, Status,
};
use wire::{Direction, DownlinkMessage, Topic, UplinkMessage};

pub use action::{Action, BackgroundTask, Sentence, Utterance};
pub use announcement::WAITING_MAX;
use clock::TrustedClock;
use command::PendingCommands;
use counters::Counters;
pub use identity::Identity;
use journal::Journal;
use settings::Settings;

/// The longest stored reason of a lost connection, in characters.
const REASON_CHARS_MAX: usize = 128;

/// One box.
#[derive(Debug)]
pub struct Soundbox {
    identity: Identity,
    clock: TrustedClock,
    journal: Journal,
    waiting: VecDeque<PaymentSuccess>,
    speaking: Option<Utterance>,
    /// No further sentence is begun.
    stopping: bool,
    commands: PendingCommands,
    /// Whether the last acknowledgements may not have arrived.
    must_repeat_acks: bool,
    last_sequence: Option<i64>,
    counters: Counters,
    network: Network,
    started_at: Instant,
}

/// Figures of the box's connection, for diagnostics.
#[derive(Debug, Clone, Default, Serialize)]
struct Network {
    connects: u64,
    disconnects: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_disconnect_reason: Option<String>,
}

impl Soundbox {
    /// Starts a box from its journal. A sentence that had begun was interrupted: it is recorded and acknowledged as
    /// such and never repeated. Notifications that were accepted and not begun are queued again.
    pub fn start(identity: Identity, mut journal: Journal, now: Instant) -> io::Result<Self> {
        let (waiting, interrupted) = announcement::resume(&mut journal)?;
        let counters = Counters {
            failed: interrupted,
            ..Counters::default()
        };
        Ok(Self {
            identity,
            clock: TrustedClock::default(),
            journal,
            waiting,
            speaking: None,
            stopping: false,
            commands: PendingCommands::default(),
            must_repeat_acks: true,
            last_sequence: None,
            counters,
            network: Network::default(),
            started_at: now,
        })
    }

    /// Its counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.identity.settings
    }

    /// Whether a payment waits to be spoken or anything is being spoken.
    pub fn is_busy(&self) -> bool {
        self.speaking.is_some() || !self.waiting.is_empty()
    }

    /// Whether a sentence is being spoken.
    pub fn is_speaking(&self) -> bool {
        self.speaking.is_some()
    }

    /// Before a proper end: begins no further sentence. What waits is in the journal.
    pub fn begin_no_more(&mut self) {
        self.stopping = true;
    }

    /// The time, if the trusted clock is set.
    pub fn time(&self, now: Instant) -> Option<DateTime<Utc>> {
        self.clock.now(now)
    }

    /// The time as the box states it, by its wall clock.
    fn stated_time(&self, now: Instant) -> Option<String> {
        let shown = self.identity.wall_clock.shows(self.clock.now(now)?)?;
        Some(wire::time::format(shown))
    }

    /// Whether the answer to a time request is overdue.
    pub fn is_time_overdue(&self, now: Instant) -> bool {
        self.clock.is_overdue(now)
    }

    /// After every connect: repeats the last acknowledgements if they may not have arrived, that is after a start or
    /// when the broker has not kept the session.
    pub fn connected(&mut self, session_present: bool) -> Vec<Action> {
        self.network.connects += 1;
        if !std::mem::replace(&mut self.must_repeat_acks, false) && session_present {
            return Vec::new();
        }
        announcement::repeat_acks(&self.journal)
    }

    /// After every loss of the connection.
    pub fn disconnected(&mut self, reason: &str) {
        self.network.disconnects += 1;
        self.network.last_disconnect_reason = Some(reason.chars().take(REASON_CHARS_MAX).collect());
    }

    /// The online status, which requests the time: after every connect, and again when the answer is overdue.
    pub fn request_time(&mut self, nonce: String, now: Instant) -> Action {
        self.clock.request(nonce.clone(), now);
        Action::Send(UplinkMessage::Status(Status {
            state: OnlineState::Online,
            firmware_version: Some(self.identity.firmware_version.clone()),
            reason: None,
            nonce: Some(nonce),
        }))
    }

    /// Sets the trusted clock from an answer over TLS that arrived quickly.
    pub fn set_time(
        &mut self,
        server_time: DateTime<Utc>,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        self.clock.set(server_time, now);
        self.clock_set(server_time, now)
    }

    /// Continues with what waited for the clock.
    fn clock_set(&mut self, time: DateTime<Utc>, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = vec![Action::ClockSet(time)];
        for command in self.commands.take_waiting_for_clock() {
            actions.extend(self.receive_command(command, now)?);
        }
        actions.extend(self.begin_next(now)?);
        Ok(actions)
    }

    /// The heartbeat.
    pub fn heartbeat(&self, now: Instant) -> UplinkMessage {
        let mut extras = Extras::default();
        extras.insert("spoken", json!(self.counters.spoken));
        extras.insert("sequence_gaps", json!(self.counters.gaps));
        extras.insert("volume", json!(self.identity.settings.volume));
        extras.insert("config_version", json!(self.identity.config_version));
        UplinkMessage::Heartbeat(Heartbeat {
            device_id: self.identity.device_id,
            timestamp: self.stated_time(now),
            firmware_version: Some(self.identity.firmware_version.clone()),
            state: Some(if self.is_busy() { "speaking" } else { "idle" }.to_owned()),
            network_strength: Some(self.identity.vitals.network_strength),
            battery_level: Some(self.identity.vitals.battery_level),
            extras,
        })
    }

    /// Handles one message of the platform.
    ///
    /// # Errors
    /// A journal that cannot be written: the message must not be confirmed.
    pub fn receive(
        &mut self,
        topic: &str,
        payload: &[u8],
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        let Ok(topic) = topic.parse::<Topic>() else {
            self.counters.refused += 1;
            return Ok(Vec::new());
        };
        if topic.channel.direction() != Direction::Downlink
            || topic.device_id != self.identity.device_id
        {
            return Ok(vec![self.refuse(topic, "not a topic of this box")]);
        }
        let message = match self
            .identity
            .keys
            .open(self.identity.device_id, topic.channel, payload)
        {
            Ok(message) => message,
            Err(error) => return Ok(vec![self.refuse(topic, error.to_string())]),
        };
        match message {
            DownlinkMessage::PaymentSuccess(payment) => self.receive_payment(payment, now),
            DownlinkMessage::DynamicQrResponse(response) => Ok(vec![Action::Qr(response)]),
            DownlinkMessage::Command(command) => self.receive_command(command, now),
            DownlinkMessage::ConfigPush(push) => self.configure(push, now),
            DownlinkMessage::Time(time) => {
                if !self.clock.answer(&time.nonce, time.server_time, now) {
                    return Ok(vec![
                        self.refuse(topic, "the time does not answer this box's last nonce"),
                    ]);
                }
                self.clock_set(time.server_time, now)
            }
        }
    }

    /// The sentence was spoken.
    pub fn spoken(
        &mut self,
        utterance: impl Into<Utterance>,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        self.sentence_ended(utterance.into(), Ok(()), now)
    }

    /// The sentence could not be spoken.
    pub fn not_spoken(
        &mut self,
        utterance: impl Into<Utterance>,
        reason: &str,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        self.sentence_ended(utterance.into(), Err(reason), now)
    }

    fn sentence_ended(
        &mut self,
        utterance: Utterance,
        result: Result<(), &str>,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        if self.speaking != Some(utterance) {
            return Ok(Vec::new());
        }
        let mut actions = match utterance {
            Utterance::Payment(event_id) => vec![self.announcement_ended(event_id, result, now)?],
            Utterance::Command(command_id) => self.command_spoken(command_id, result)?,
        };
        self.speaking = None;
        actions.extend(self.begin_next(now)?);
        Ok(actions)
    }

    /// Begins the next sentence, if one waits and nothing is being spoken.
    fn begin_next(&mut self, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = self.begin_announcement(now)?;
        actions.extend(self.begin_command_sentence(now)?);
        Ok(actions)
    }

    fn configure(&mut self, push: ConfigPush, now: Instant) -> io::Result<Vec<Action>> {
        let version = push.version;
        if version < self.identity.config_version {
            return Ok(vec![config_ack(
                version,
                ConfigAckStatus::Rejected,
                Some("superseded".to_owned()),
            )]);
        }
        self.identity.binding_id = push.binding_id;
        self.identity.config_version = version;
        let refused = match Settings::read(&push.config) {
            Ok(settings) => {
                self.identity.settings = settings;
                None
            }
            Err(reason) => Some(reason),
        };
        let status = match &refused {
            None => ConfigAckStatus::Applied,
            Some(_) => ConfigAckStatus::Rejected,
        };
        let answer = config_ack(version, status, refused.clone());
        let mut actions = vec![Action::Configure { push, refused }, answer];
        // Payments that waited for another binding end now.
        actions.extend(self.begin_next(now)?);
        Ok(actions)
    }

    fn refuse(&mut self, topic: Topic, reason: impl Into<String>) -> Action {
        self.counters.refused += 1;
        Action::Refused {
            topic,
            reason: reason.into(),
        }
    }
}

fn config_ack(version: i64, status: ConfigAckStatus, reason: Option<String>) -> Action {
    Action::Send(UplinkMessage::ConfigAck(ConfigAck {
        version,
        status,
        reason,
    }))
}

#[cfg(test)]
mod tests;
