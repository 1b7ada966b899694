//! Commands: each carried out at most once, not after it has expired, and answered with what became of it.
//!
//! An order that takes a while (a sentence, an errand) is written down as interrupted before it is begun, and as what
//! it came to when it ends. So a box that lost its power meanwhile answers the repetition with the truth.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use wire::message::{Command, CommandAck, CommandAckStatus};
use wire::{CommandId, UplinkMessage};

use super::journal::CommandOutcome;
use super::settings::VOLUME_MAX;
use super::{Action, Errand, Sentence, Soundbox, Utterance};

/// How many commands may wait for the clock, and how many for their turn to speak.
const WAITING_MAX: usize = 32;

/// What an order asks for, once its parameters are read.
enum Order {
    Say(String),
    SetVolume(u8),
    /// Something for whoever draws the display.
    Show,
    Reboot,
    Diagnose,
    Errand(Errand),
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

/// Orders that are not ended.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Whether they have expired cannot be told yet.
    undated: VecDeque<Command>,
    /// To be said when it is their turn.
    to_say: VecDeque<(Command, String)>,
    /// Begun: a sentence, or errands.
    begun: Vec<Command>,
}

impl Orders {
    pub(super) fn take_undated(&mut self) -> VecDeque<Command> {
        std::mem::take(&mut self.undated)
    }

    fn contains(&self, command_id: CommandId) -> bool {
        self.undated
            .iter()
            .chain(self.to_say.iter().map(|(command, _)| command))
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
    pub(super) fn command(&mut self, command: Command, now: Instant) -> io::Result<Vec<Action>> {
        let command_id = command.command_id;
        if self.orders.contains(command_id) {
            return Ok(Vec::new());
        }
        if let Some(outcome) = self.journal.command(command_id) {
            return Ok(vec![self.command_ack(command_id, outcome.clone())]);
        }
        let Some(time) = self.clock.now(now) else {
            // One too many is forgotten: it was not answered, so the platform sends it again.
            if self.orders.undated.len() < WAITING_MAX {
                self.orders.undated.push_back(command);
            }
            return Ok(Vec::new());
        };
        if time >= command.expires_at {
            return self.end_order(command, ended(CommandAckStatus::Timeout, "expired"));
        }
        let order = match self.read_order(&command) {
            Ok(order) => order,
            Err(reason) => {
                return self.end_order(command, ended(CommandAckStatus::Failed, reason));
            }
        };
        match order {
            Order::Say(_) if self.orders.to_say.len() >= WAITING_MAX => {
                self.end_order(command, ended(CommandAckStatus::Failed, "queue_full"))
            }
            Order::Say(text) => {
                self.orders.to_say.push_back((command, text));
                self.next(now)
            }
            Order::SetVolume(volume) => {
                self.identity.settings.volume = volume;
                self.end_order(command, delivered(None))
            }
            Order::Show => self.end_order(command, delivered(None)),
            Order::Diagnose => {
                let result = self.diagnosis(now);
                self.end_order(command, delivered(Some(result)))
            }
            Order::Reboot => {
                let mut actions = self.end_order(command, delivered(None))?;
                actions.push(Action::Reboot);
                Ok(actions)
            }
            Order::Errand(errand) => {
                self.begin_order(command)?;
                Ok(vec![Action::Errand { command_id, errand }])
            }
        }
    }

    fn read_order(&self, command: &Command) -> Result<Order, &'static str> {
        let payload = &command.payload;
        match command.kind.as_str() {
            "play_test" => {
                let language = self.identity.settings.language;
                Ok(Order::Say(language.test_sentence().to_owned()))
            }
            "announce_text" => {
                let Text { text } = parameters(payload)?;
                Ok(Order::Say(text))
            }
            "set_volume" => {
                let Volume { volume } = parameters(payload)?;
                if volume > VOLUME_MAX {
                    return Err("invalid_payload");
                }
                Ok(Order::SetVolume(volume))
            }
            "display_qr" => {
                let Code { qr_payload } = parameters(payload)?;
                if qr_payload.is_empty() {
                    return Err("invalid_payload");
                }
                Ok(Order::Show)
            }
            "clear_display" => Ok(Order::Show),
            "reboot" => Ok(Order::Reboot),
            "collect_diagnostics" => Ok(Order::Diagnose),
            "sync_config" => Ok(Order::Errand(Errand::SyncConfig)),
            "update_firmware" => {
                let Firmware {
                    url,
                    sha256,
                    version,
                } = parameters(payload)?;
                if !url.starts_with("https://") || sha256.len() != 64 || version.is_empty() {
                    return Err("invalid_payload");
                }
                Ok(Order::Errand(Errand::Install { version }))
            }
            _ => Err("unknown_command"),
        }
    }

    /// Begins the next order to say something, after all payments.
    pub(super) fn next_order(&mut self, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = Vec::new();
        while !self.resting
            && self.speaking.is_none()
            && let Some(time) = self.clock.now(now)
            && let Some((command, text)) = self.orders.to_say.pop_front()
        {
            if time >= command.expires_at {
                let expired = ended(CommandAckStatus::Timeout, "expired");
                actions.extend(self.end_order(command, expired)?);
                continue;
            }
            let utterance = Utterance::Order(command.command_id);
            self.begin_order(command)?;
            self.speaking = Some(utterance);
            let settings = &self.identity.settings;
            actions.push(Action::Speak(Sentence {
                utterance,
                payment: None,
                text,
                language: settings.language.tag().to_owned(),
                volume: settings.volume_at(time),
            }));
        }
        Ok(actions)
    }

    pub(super) fn order_said(
        &mut self,
        command_id: CommandId,
        result: Result<(), &str>,
    ) -> io::Result<Vec<Action>> {
        let Some(command) = self.orders.take_begun(command_id) else {
            return Ok(Vec::new());
        };
        let outcome = match result {
            Ok(()) => delivered(None),
            Err(reason) => ended(CommandAckStatus::Failed, reason),
        };
        self.end_order(command, outcome)
    }

    /// An errand has ended: with what there is to tell of it, or the reason of its failure. New firmware starts.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub fn errand_ended(
        &mut self,
        command_id: CommandId,
        result: Result<Option<Value>, &str>,
    ) -> io::Result<Vec<Action>> {
        let Some(command) = self.orders.take_begun(command_id) else {
            return Ok(Vec::new());
        };
        let starts = result.is_ok() && command.kind == "update_firmware";
        let outcome = match result {
            Ok(told) => delivered(told),
            Err(reason) => ended(CommandAckStatus::Failed, reason),
        };
        let mut actions = self.end_order(command, outcome)?;
        actions.extend(starts.then_some(Action::Reboot));
        Ok(actions)
    }

    fn begin_order(&mut self, command: Command) -> io::Result<()> {
        let interrupted = ended(CommandAckStatus::Failed, "interrupted");
        self.journal.command_done(command.command_id, interrupted)?;
        self.orders.begun.push(command);
        Ok(())
    }

    fn end_order(&mut self, command: Command, outcome: CommandOutcome) -> io::Result<Vec<Action>> {
        let command_id = command.command_id;
        self.journal.command_done(command_id, outcome.clone())?;
        let status = outcome.status;
        self.counters.commands += u64::from(status == CommandAckStatus::Delivered);
        Ok(vec![
            Action::Obeyed {
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

    /// What `collect_diagnostics` yields.
    fn diagnosis(&self, now: Instant) -> Value {
        let identity = &self.identity;
        json!({
            "firmware_version": identity.firmware_version,
            "uptime_s": now.saturating_duration_since(self.switched_on).as_secs(),
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
