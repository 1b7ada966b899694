//! Commands: each carried out at most once, not after it has expired, and acknowledged with its result.
//!
//! A command that takes a while (a sentence, a background task) is recorded as interrupted before it begins and with
//! its result when it ends. A box that loses its power meanwhile then answers the repeated command correctly.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use wire::message::{Command, CommandAck, CommandAckStatus};
use wire::speech::Kind;
use wire::{CommandId, UplinkMessage};

use super::journal::CommandOutcome;
use super::settings::VOLUME_MAX;
use super::{Action, BackgroundTask, Sentence, Soundbox, Utterance};

/// How many commands may wait for the clock, and how many for their turn to speak.
const WAITING_MAX: usize = 32;

/// A command with its parameters parsed.
enum Parsed {
    Speak(Words),
    SetVolume(u8),
    /// Only the display changes, which is drawn from the reported event.
    Display,
    Reboot,
    Diagnose,
    Task(BackgroundTask),
}

/// What a command has the box say.
#[derive(Debug, Deserialize)]
pub(super) struct Words {
    language: String,
    text: String,
}

/// A command whose sentence the platform writes, in the language of the box.
#[derive(Deserialize)]
struct Sentenced {
    speech: Words,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Volume {
    volume: u8,
}

#[derive(Deserialize)]
struct Code {
    qr_payload: String,
}

#[derive(Deserialize)]
struct Firmware {
    url: String,
    sha256: String,
    version: String,
}

/// Commands that have not ended.
#[derive(Debug, Default)]
pub(super) struct PendingCommands {
    /// Waiting for the clock, without which their expiry cannot be checked.
    waiting_for_clock: VecDeque<Command>,
    /// Sentences waiting for their turn.
    to_speak: VecDeque<(Command, Words)>,
    /// Begun: a sentence, or background tasks.
    begun: Vec<Command>,
}

impl PendingCommands {
    pub(super) fn take_waiting_for_clock(&mut self) -> VecDeque<Command> {
        std::mem::take(&mut self.waiting_for_clock)
    }

    fn contains(&self, command_id: CommandId) -> bool {
        self.waiting_for_clock
            .iter()
            .chain(self.to_speak.iter().map(|(command, _)| command))
            .chain(&self.begun)
            .any(|command| command.command_id == command_id)
    }

    fn take_begun(&mut self, command_id: CommandId) -> Option<Command> {
        let index = self
            .begun
            .iter()
            .position(|command| command.command_id == command_id)?;
        Some(self.begun.swap_remove(index))
    }
}

impl Soundbox {
    pub(super) fn receive_command(
        &mut self,
        command: Command,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
        let command_id = command.command_id;
        if self.commands.contains(command_id) {
            return Ok(Vec::new());
        }
        if let Some(outcome) = self.journal.command(command_id) {
            return Ok(vec![self.command_ack(command_id, outcome.clone())]);
        }
        let Some(time) = self.clock.now(now) else {
            // A command beyond the limit is dropped: it is not acknowledged, so the platform sends it again.
            if self.commands.waiting_for_clock.len() < WAITING_MAX {
                self.commands.waiting_for_clock.push_back(command);
            }
            return Ok(Vec::new());
        };
        if time >= command.expires_at {
            return self.end_command(command, ended(CommandAckStatus::Timeout, "expired"));
        }
        let parsed = match self.parse(&command) {
            Ok(parsed) => parsed,
            Err(reason) => {
                return self.end_command(command, ended(CommandAckStatus::Failed, reason));
            }
        };
        match parsed {
            Parsed::Speak(_) if self.commands.to_speak.len() >= WAITING_MAX => {
                self.end_command(command, ended(CommandAckStatus::Failed, "queue_full"))
            }
            Parsed::Speak(words) => {
                self.commands.to_speak.push_back((command, words));
                self.begin_next(now)
            }
            Parsed::SetVolume(volume) => {
                self.identity.settings.volume = volume;
                self.end_command(command, delivered(None))
            }
            Parsed::Display => self.end_command(command, delivered(None)),
            Parsed::Diagnose => {
                let result = self.diagnosis(now);
                self.end_command(command, delivered(Some(result)))
            }
            Parsed::Reboot => {
                let mut actions = self.end_command(command, delivered(None))?;
                actions.push(Action::Reboot);
                Ok(actions)
            }
            Parsed::Task(task) => {
                self.begin_command(command)?;
                Ok(vec![Action::StartTask { command_id, task }])
            }
        }
    }

    fn parse(&self, command: &Command) -> Result<Parsed, &'static str> {
        let payload = &command.payload;
        match command.kind.as_str() {
            "play_test" => {
                // A platform of an earlier version sends no sentence.
                if let Ok(Sentenced { speech }) = parameters(payload) {
                    return Ok(Parsed::Speak(speech));
                }
                let language = self.identity.settings.language;
                let sentence =
                    wire::speech::sentence(language, Kind::Test, None).map_err(|_| "no_words")?;
                Ok(Parsed::Speak(self.words(sentence.text())))
            }
            "announce_total" => {
                let Sentenced { speech } = parameters(payload)?;
                Ok(Parsed::Speak(speech))
            }
            "announce_text" => {
                let Text { text } = parameters(payload)?;
                Ok(Parsed::Speak(self.words(text)))
            }
            "set_volume" => {
                let Volume { volume } = parameters(payload)?;
                if volume > VOLUME_MAX {
                    return Err("invalid_payload");
                }
                Ok(Parsed::SetVolume(volume))
            }
            "display_qr" => {
                let Code { qr_payload } = parameters(payload)?;
                if qr_payload.is_empty() {
                    return Err("invalid_payload");
                }
                Ok(Parsed::Display)
            }
            "clear_display" => Ok(Parsed::Display),
            "reboot" => Ok(Parsed::Reboot),
            "collect_diagnostics" => Ok(Parsed::Diagnose),
            "sync_config" => Ok(Parsed::Task(BackgroundTask::SyncConfig)),
            "update_firmware" => {
                let Firmware {
                    url,
                    sha256,
                    version,
                } = parameters(payload)?;
                if !url.starts_with("https://") || sha256.len() != 64 || version.is_empty() {
                    return Err("invalid_payload");
                }
                Ok(Parsed::Task(BackgroundTask::Install { version }))
            }
            _ => Err("unknown_command"),
        }
    }

    /// A text in the box's own language.
    fn words(&self, text: String) -> Words {
        Words {
            language: self.identity.settings.language.as_str().to_owned(),
            text,
        }
    }

    /// Begins the next sentence of a command. Payments come first.
    pub(super) fn begin_command_sentence(&mut self, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = Vec::new();
        while !self.stopping
            && self.speaking.is_none()
            && let Some(time) = self.clock.now(now)
            && let Some((command, words)) = self.commands.to_speak.pop_front()
        {
            if time >= command.expires_at {
                let expired = ended(CommandAckStatus::Timeout, "expired");
                actions.extend(self.end_command(command, expired)?);
                continue;
            }
            let utterance = Utterance::Command(command.command_id);
            self.begin_command(command)?;
            self.speaking = Some(utterance);
            let settings = &self.identity.settings;
            actions.push(Action::Speak(Sentence {
                utterance,
                payment: None,
                text: words.text,
                language: words.language,
                volume: settings.volume_at(time),
            }));
        }
        Ok(actions)
    }

    pub(super) fn command_spoken(
        &mut self,
        command_id: CommandId,
        result: Result<(), &str>,
    ) -> io::Result<Vec<Action>> {
        let Some(command) = self.commands.take_begun(command_id) else {
            return Ok(Vec::new());
        };
        let outcome = match result {
            Ok(()) => delivered(None),
            Err(reason) => ended(CommandAckStatus::Failed, reason),
        };
        self.end_command(command, outcome)
    }

    /// A background task has ended, with the payload of the acknowledgement or the reason of the failure. A firmware
    /// update is followed by a reboot.
    pub fn task_ended(
        &mut self,
        command_id: CommandId,
        result: Result<Option<Value>, &str>,
    ) -> io::Result<Vec<Action>> {
        let Some(command) = self.commands.take_begun(command_id) else {
            return Ok(Vec::new());
        };
        let reboots = result.is_ok() && command.kind == "update_firmware";
        let outcome = match result {
            Ok(payload) => delivered(payload),
            Err(reason) => ended(CommandAckStatus::Failed, reason),
        };
        let mut actions = self.end_command(command, outcome)?;
        actions.extend(reboots.then_some(Action::Reboot));
        Ok(actions)
    }

    fn begin_command(&mut self, command: Command) -> io::Result<()> {
        let interrupted = ended(CommandAckStatus::Failed, "interrupted");
        self.journal.command_done(command.command_id, interrupted)?;
        self.commands.begun.push(command);
        Ok(())
    }

    fn end_command(
        &mut self,
        command: Command,
        outcome: CommandOutcome,
    ) -> io::Result<Vec<Action>> {
        let command_id = command.command_id;
        self.journal.command_done(command_id, outcome.clone())?;
        let status = outcome.status;
        self.counters.commands += u64::from(status == CommandAckStatus::Delivered);
        Ok(vec![
            Action::CommandEnded {
                command_id,
                kind: command.kind,
                payload: command.payload,
                status,
                reason: outcome.reason.clone(),
            },
            self.command_ack(command_id, outcome),
        ])
    }

    fn command_ack(&self, command_id: CommandId, outcome: CommandOutcome) -> Action {
        Action::Send(UplinkMessage::CommandAck(CommandAck {
            device_id: self.identity.device_id,
            command_id,
            status: outcome.status,
            reason: outcome.reason,
            result_payload: outcome.result,
        }))
    }

    /// The result of `collect_diagnostics`.
    fn diagnosis(&self, now: Instant) -> Value {
        let identity = &self.identity;
        json!({
            "firmware_version": identity.firmware_version,
            "uptime_s": now.saturating_duration_since(self.started_at).as_secs(),
            "server_time": self.clock.now(now).map(wire::time::format),
            "stated_time": self.stated_time(now),
            "bound": identity.binding_id.is_some(),
            "config_version": identity.config_version,
            "settings": identity.settings,
            "transport": identity.transport,
            "network": self.network,
            "network_strength": identity.vitals.network_strength,
            "battery_level": identity.vitals.battery_level,
            "waiting": self.waiting.len(),
            "remembered": self.journal.remembered(),
            "counters": self.counters,
        })
    }
}

fn parameters<'a, T: Deserialize<'a>>(payload: &'a Value) -> Result<T, &'static str> {
    T::deserialize(payload).map_err(|_| "invalid_payload")
}

fn delivered(result: Option<Value>) -> CommandOutcome {
    CommandOutcome {
        status: CommandAckStatus::Delivered,
        reason: None,
        result,
    }
}

fn ended(status: CommandAckStatus, reason: &str) -> CommandOutcome {
    CommandOutcome {
        status,
        reason: Some(reason.to_owned()),
        result: None,
    }
}
