//! The box itself: what it believes, what it says, and what it answers.
//!
//! A state machine without a network: a message, or the end of a sentence, goes in with the present moment, and what
//! the box does about it comes out as [`Action`]s, to be carried out in order. The one thing it does itself is to
//! write its [`journal`], because its promise hangs on the order: an announcement is on the disk before it is
//! confirmed and before it is spoken. When a method returns an error, nothing must be confirmed.

pub mod clock;
pub mod counters;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod journal;

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use wire::message::{
    AckStatus, Command, CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus, ConfigPush,
    DynamicQrResponse, Extras, Heartbeat, OnlineState, PaymentAck, PaymentSuccess, Status,
};
use wire::{
    BindingId, CommandId, DeviceId, Direction, DownlinkMessage, EventId, Rupiah, Topic,
    TransactionId, UplinkMessage, VerifyingKeys,
};

use clock::TrustedClock;
use counters::Counters;
use journal::{CommandOutcome, Journal, Outcome, Progress};

/// How many announcements may wait for their turn or for the clock.
pub const WAITING_MAX: usize = 256;

/// How many commands may wait for the clock.
const COMMANDS_WAITING_MAX: usize = 32;

/// A sentence to say aloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The announcement.
    pub event_id: EventId,
    /// The payment.
    pub transaction_id: TransactionId,
    /// How much.
    pub amount: Rupiah,
    /// The words.
    pub text: String,
    /// Whether these are the words for a payment made a while ago.
    pub delayed: bool,
}

/// What a box does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish.
    Send(UplinkMessage),
    /// Say it, and tell [`Soundbox::spoken`] or [`Soundbox::not_spoken`] how it went.
    Speak(Sentence),
    /// An announcement came that is new; for statistics.
    Received {
        /// The announcement.
        event_id: EventId,
        /// Its number.
        sequence: i64,
        /// When it left the platform.
        sent_at: DateTime<Utc>,
    },
    /// Write the new binding and configuration down. Only what follows may be done when that has succeeded.
    Configure(ConfigPush),
    /// A command was carried out, or not.
    Obeyed {
        /// The command.
        command_id: CommandId,
        /// Its type.
        kind: String,
        /// Its parameters.
        payload: Value,
        /// What became of it.
        status: CommandAckStatus,
    },
    /// An answer to a request for a QR.
    Qr(DynamicQrResponse),
    /// The clock is set.
    ClockSet(DateTime<Utc>),
    /// Start again from what is on the disk.
    Reboot,
    /// A message that was not believed.
    Refused {
        /// Where it came.
        topic: Topic,
        /// Why.
        reason: String,
    },
}

/// Who a box is, from its credentials.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id.
    pub device_id: DeviceId,
    /// The keys it was given.
    pub keys: VerifyingKeys,
    /// Where it belongs.
    pub binding_id: Option<BindingId>,
    /// The configuration it has.
    pub config_version: i64,
    /// The firmware it says it runs.
    pub firmware_version: String,
}

/// One box.
#[derive(Debug)]
pub struct Soundbox {
    identity: Identity,
    clock: TrustedClock,
    journal: Journal,
    waiting: VecDeque<PaymentSuccess>,
    speaking: Option<EventId>,
    resting: bool,
    commands_waiting: VecDeque<Command>,
    owed_acks: Vec<PaymentAck>,
    last_sequence: Option<i64>,
    counters: Counters,
}

impl Soundbox {
    /// A box that has just been switched on. What its journal says was begun has been interrupted: that is recorded
    /// and will be reported, and is never repeated. What was taken and not begun waits again.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub fn start(identity: Identity, mut journal: Journal) -> io::Result<Self> {
        let mut waiting = VecDeque::new();
        let mut interrupted = Vec::new();
        for (event_id, progress) in journal.open_events() {
            match progress {
                Progress::Accepted(payment) => waiting.push_back(payment.as_ref().clone()),
                Progress::Speaking => interrupted.push(event_id),
                Progress::Done(_) => {}
            }
        }
        let mut owed_acks = Vec::with_capacity(interrupted.len());
        for event_id in interrupted {
            let outcome = not_played(AckStatus::Failed, "interrupted");
            owed_acks.push(ack(event_id, &outcome));
            journal.done(event_id, outcome)?;
        }
        let counters = Counters {
            failed: owed_acks.len() as u64,
            ..Counters::default()
        };
        Ok(Self {
            identity,
            clock: TrustedClock::default(),
            journal,
            waiting,
            speaking: None,
            resting: false,
            commands_waiting: VecDeque::new(),
            owed_acks,
            last_sequence: None,
            counters,
        })
    }

    /// What it has seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether anything waits to be spoken.
    pub fn is_busy(&self) -> bool {
        self.speaking.is_some() || !self.waiting.is_empty()
    }

    /// Whether a sentence has been begun and not ended.
    pub fn is_speaking(&self) -> bool {
        self.speaking.is_some()
    }

    /// Before it is switched off in order: begins no further sentence. What waits is in the journal.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// The time, if the box knows it.
    pub fn time(&self, now: Instant) -> Option<DateTime<Utc>> {
        self.clock.now(now)
    }

    /// Whether the platform owes an answer to a status for too long.
    pub fn is_time_overdue(&self, now: Instant) -> bool {
        self.clock.is_overdue(now)
    }

    /// After every connect, and when the answer does not come: says that it is there, and asks for the time.
    pub fn connected(&mut self, nonce: String, now: Instant) -> Vec<Action> {
        self.clock.ask(nonce.clone(), now);
        let status = Status {
            state: OnlineState::Online,
            firmware_version: Some(self.identity.firmware_version.clone()),
            reason: None,
            nonce: Some(nonce),
        };
        let mut actions = vec![Action::Send(UplinkMessage::Status(status))];
        let owed = std::mem::take(&mut self.owed_acks);
        actions.extend(
            owed.into_iter()
                .map(|ack| Action::Send(UplinkMessage::PaymentAck(ack))),
        );
        actions
    }

    /// The sign of life.
    pub fn heartbeat(&self, now: Instant) -> UplinkMessage {
        let mut extras = Extras::default();
        extras.insert("spoken", json!(self.counters.spoken));
        extras.insert("sequence_gaps", json!(self.counters.gaps));
        UplinkMessage::Heartbeat(Heartbeat {
            device_id: self.identity.device_id,
            timestamp: self.clock.now(now).map(wire::time::format),
            firmware_version: self.identity.firmware_version.clone(),
            state: if self.is_busy() { "speaking" } else { "idle" }.to_owned(),
            network_strength: Some(78),
            battery_level: Some(92),
            extras,
        })
    }

    /// Takes one message of the broker.
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
            DownlinkMessage::PaymentSuccess(payment) => self.payment(payment, now),
            DownlinkMessage::DynamicQrResponse(response) => Ok(vec![Action::Qr(response)]),
            DownlinkMessage::Command(command) => self.command(command, now),
            DownlinkMessage::ConfigPush(push) => self.configure(push, now),
            DownlinkMessage::Time(time) => {
                if !self.clock.answer(&time.nonce, time.server_time, now) {
                    return Ok(vec![
                        self.refuse(topic, "the time is no answer to this box's last nonce"),
                    ]);
                }
                let mut actions = vec![Action::ClockSet(time.server_time)];
                for command in std::mem::take(&mut self.commands_waiting) {
                    actions.extend(self.command(command, now)?);
                }
                actions.extend(self.next(now)?);
                Ok(actions)
            }
        }
    }

    /// The sentence has been said.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub fn spoken(&mut self, event_id: EventId, now: Instant) -> io::Result<Vec<Action>> {
        let played_at = self.clock.now(now).map(wire::time::format);
        self.counters.spoken += 1;
        self.ended(
            event_id,
            Outcome {
                status: AckStatus::Played,
                reason: None,
                played_at,
            },
            now,
        )
    }

    /// The sentence could not be said.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub fn not_spoken(
        &mut self,
        event_id: EventId,
        reason: &str,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        self.counters.failed += 1;
        self.ended(event_id, not_played(AckStatus::Failed, reason), now)
    }

    fn ended(
        &mut self,
        event_id: EventId,
        outcome: Outcome,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        if self.speaking != Some(event_id) {
            return Ok(Vec::new());
        }
        let mut actions = vec![send(ack(event_id, &outcome))];
        self.journal.done(event_id, outcome)?;
        self.speaking = None;
        actions.extend(self.next(now)?);
        Ok(actions)
    }

    fn payment(&mut self, payment: PaymentSuccess, now: Instant) -> io::Result<Vec<Action>> {
        let event_id = payment.event_id;
        if let Some(progress) = self.journal.progress(event_id) {
            self.counters.duplicates += 1;
            let again = match progress {
                Progress::Done(outcome) => ack(event_id, outcome),
                Progress::Accepted(_) | Progress::Speaking => received(event_id),
            };
            return Ok(vec![send(again)]);
        }
        self.counters.received += 1;
        let sequence = payment.sequence;
        if let Some(last) = self.last_sequence {
            let missed = sequence.saturating_sub(last).saturating_sub(1);
            self.counters.gaps += u64::try_from(missed).unwrap_or(0);
        }
        self.last_sequence = Some(
            self.last_sequence
                .map_or(sequence, |last| last.max(sequence)),
        );
        let mut actions = vec![Action::Received {
            event_id,
            sequence,
            sent_at: payment.sent_at,
        }];

        if self.identity.binding_id != Some(payment.binding_id) {
            actions.push(self.finish(event_id, not_played(AckStatus::Failed, "binding_mismatch"))?);
            return Ok(actions);
        }
        if self.waiting.len() >= WAITING_MAX {
            actions.push(self.finish(event_id, not_played(AckStatus::Failed, "queue_full"))?);
            return Ok(actions);
        }
        actions.push(send(received(event_id)));
        // One that can be spoken at once is recorded once, as begun; one that has to wait is recorded whole.
        let waits =
            self.speaking.is_some() || !self.waiting.is_empty() || self.clock.now(now).is_none();
        if waits {
            self.journal.accepted(&payment)?;
        }
        self.waiting.push_back(payment);
        match self.next(now) {
            Ok(next) => actions.extend(next),
            Err(error) => {
                if !waits {
                    self.waiting.pop_front();
                }
                return Err(error);
            }
        }
        Ok(actions)
    }

    /// Begins the next announcement that may be spoken; ends those that may not.
    fn next(&mut self, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = Vec::new();
        while !self.resting
            && self.speaking.is_none()
            && let Some(time) = self.clock.now(now)
            && let Some(payment) = self.waiting.front()
        {
            let event_id = payment.event_id;
            let refusal = if self.identity.binding_id != Some(payment.binding_id) {
                Some(not_played(AckStatus::Failed, "binding_mismatch"))
            } else if time >= payment.announce_until {
                Some(not_played(AckStatus::Stale, "too_late"))
            } else {
                None
            };
            if let Some(outcome) = refusal {
                actions.push(self.finish(event_id, outcome)?);
                self.waiting.pop_front();
                continue;
            }
            let delayed = payment.replay || time >= payment.delayed_after;
            let speech = &payment.speech;
            let sentence = Sentence {
                event_id,
                transaction_id: payment.transaction_id,
                amount: payment.amount,
                text: if delayed {
                    speech.delayed_text.clone()
                } else {
                    speech.text.clone()
                },
                delayed,
            };
            self.journal.speaking(event_id)?;
            self.waiting.pop_front();
            self.speaking = Some(event_id);
            actions.push(Action::Speak(sentence));
        }
        Ok(actions)
    }

    /// Ends an announcement that was never begun.
    fn finish(&mut self, event_id: EventId, outcome: Outcome) -> io::Result<Action> {
        match outcome.status {
            AckStatus::Stale => self.counters.stale += 1,
            _ => self.counters.failed += 1,
        }
        let ack = ack(event_id, &outcome);
        self.journal.done(event_id, outcome)?;
        Ok(send(ack))
    }

    fn configure(&mut self, push: ConfigPush, now: Instant) -> io::Result<Vec<Action>> {
        let version = push.version;
        if version < self.identity.config_version {
            return Ok(vec![config_ack(
                version,
                ConfigAckStatus::Rejected,
                Some("superseded"),
            )]);
        }
        self.identity.binding_id = push.binding_id;
        self.identity.config_version = version;
        let mut actions = vec![
            Action::Configure(push),
            config_ack(version, ConfigAckStatus::Applied, None),
        ];
        // What waited for another binding ends now.
        actions.extend(self.next(now)?);
        Ok(actions)
    }

    fn command(&mut self, command: Command, now: Instant) -> io::Result<Vec<Action>> {
        let command_id = command.command_id;
        if let Some(outcome) = self.journal.command(command_id) {
            return Ok(vec![self.command_ack(command_id, outcome.clone(), None)]);
        }
        let Some(time) = self.clock.now(now) else {
            // Whether it has expired cannot be told without a clock. One too many is forgotten: it was not answered,
            // so the platform sends it again.
            let known = self
                .commands_waiting
                .iter()
                .any(|waiting| waiting.command_id == command_id);
            if !known && self.commands_waiting.len() < COMMANDS_WAITING_MAX {
                self.commands_waiting.push_back(command);
            }
            return Ok(Vec::new());
        };
        let (status, reason, result) = if time >= command.expires_at {
            (CommandAckStatus::Timeout, Some("expired"), None)
        } else {
            match command.kind.as_str() {
                "play_test" | "announce_text" | "set_volume" | "display_qr" | "clear_display"
                | "reboot" | "sync_config" => (CommandAckStatus::Delivered, None, None),
                "collect_diagnostics" => {
                    let result = json!({ "counters": self.counters, "config_version": self.identity.config_version });
                    (CommandAckStatus::Delivered, None, Some(result))
                }
                "update_firmware" => (
                    CommandAckStatus::Failed,
                    Some("not_supported_by_the_simulator"),
                    None,
                ),
                _ => (CommandAckStatus::Failed, Some("unknown_command"), None),
            }
        };
        let outcome = CommandOutcome {
            status,
            reason: reason.map(str::to_owned),
        };
        self.journal.command_done(command_id, outcome.clone())?;
        let delivered = status == CommandAckStatus::Delivered;
        self.counters.commands += u64::from(delivered);
        let reboot = delivered && command.kind == "reboot";
        let mut actions = vec![
            Action::Obeyed {
                command_id,
                kind: command.kind,
                payload: command.payload,
                status,
            },
            self.command_ack(command_id, outcome, result),
        ];
        actions.extend(reboot.then_some(Action::Reboot));
        Ok(actions)
    }

    fn command_ack(
        &self,
        command_id: CommandId,
        outcome: CommandOutcome,
        result_payload: Option<Value>,
    ) -> Action {
        Action::Send(UplinkMessage::CommandAck(CommandAck {
            device_id: self.identity.device_id,
            command_id,
            status: outcome.status,
            reason: outcome.reason,
            result_payload,
        }))
    }

    fn refuse(&mut self, topic: Topic, reason: impl Into<String>) -> Action {
        self.counters.refused += 1;
        Action::Refused {
            topic,
            reason: reason.into(),
        }
    }
}

fn not_played(status: AckStatus, reason: &str) -> Outcome {
    Outcome {
        status,
        reason: Some(reason.to_owned()),
        played_at: None,
    }
}

fn ack(event_id: EventId, outcome: &Outcome) -> PaymentAck {
    let Outcome {
        status,
        reason,
        played_at,
    } = outcome.clone();
    PaymentAck {
        event_id,
        status,
        played_at,
        reason,
    }
}

fn received(event_id: EventId) -> PaymentAck {
    PaymentAck {
        event_id,
        status: AckStatus::Received,
        played_at: None,
        reason: None,
    }
}

fn send(ack: PaymentAck) -> Action {
    Action::Send(UplinkMessage::PaymentAck(ack))
}

fn config_ack(version: i64, status: ConfigAckStatus, reason: Option<&str>) -> Action {
    Action::Send(UplinkMessage::ConfigAck(ConfigAck {
        version,
        status,
        reason: reason.map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests;
