//! Carrying out what the box decides.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Context;
use wire::UplinkMessage;
use wire::message::ConfigPush;

use super::Session;
use super::errand::Told;
use crate::luck::AckFate;
use crate::report::{Event, Fault};
use crate::soundbox::{Action, Sentence, Utterance};
use crate::voice::Voice;

impl Session {
    /// Carries out what the box decided, in order.
    pub(super) fn act(&mut self, actions: Vec<Action>) -> anyhow::Result<()> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Send(message) => self.send(message)?,
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
                    self.tell_sentence(&sentence);
                    if let Voice::Silent = self.options.voice {
                        let more = self.soundbox.spoken(sentence.utterance, Instant::now());
                        actions.extend(more.context("the journal cannot be written")?);
                    } else {
                        self.say(sentence);
                    }
                }
                Action::Configure { push, refused } => self.configure(push, refused)?,
                Action::Errand { command_id, errand } => self.run_errand(command_id, errand)?,
                Action::Obeyed {
                    command_id,
                    kind,
                    payload,
                    status,
                    reason,
                } => {
                    self.tell(Event::Command {
                        command_id,
                        kind,
                        payload,
                        status,
                        reason,
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
                    self.restart = Some("reboot");
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

    /// Publishes; what happens to an acknowledgement may be up to luck.
    fn send(&mut self, message: UplinkMessage) -> anyhow::Result<()> {
        if let UplinkMessage::PaymentAck(ack) = &message {
            self.tell(Event::Acked {
                event_id: ack.event_id,
                status: ack.status,
                reason: ack.reason.clone(),
            });
        }
        let is_ack = matches!(
            message,
            UplinkMessage::PaymentAck(_)
                | UplinkMessage::CommandAck(_)
                | UplinkMessage::ConfigAck(_)
        );
        let fate = match self.bad_luck() {
            Some(luck) if is_ack => luck.ack(),
            _ => AckFate::Once,
        };
        match fate {
            AckFate::Once => {}
            AckFate::Twice => {
                self.tell(Event::Fault(Fault::DuplicateAck));
                self.link.publish(self.device_id(), &message)?;
            }
            AckFate::Late(delay) => {
                self.tell(Event::Fault(Fault::LateAck));
                self.late.push((Instant::now() + delay, message));
                return Ok(());
            }
        }
        self.link.publish(self.device_id(), &message)
    }

    /// Sends the acknowledgements that were held back until now.
    pub(super) fn send_late(&mut self, now: Instant) -> anyhow::Result<()> {
        let (due, waiting) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.late = waiting;
        let due: Vec<(Instant, UplinkMessage)> = due;
        for (_, message) in due {
            self.link.publish(self.device_id(), &message)?;
        }
        Ok(())
    }

    fn tell_sentence(&self, sentence: &Sentence) {
        let Sentence {
            utterance,
            payment,
            text,
            volume,
            ..
        } = sentence;
        match (*utterance, payment) {
            (Utterance::Payment(event_id), Some(payment)) => self.tell(Event::Spoken {
                event_id,
                transaction_id: payment.transaction_id,
                amount: payment.amount,
                text: text.clone(),
                delayed: payment.delayed,
                volume: *volume,
            }),
            (Utterance::Order(command_id), _) => self.tell(Event::Said {
                command_id,
                text: text.clone(),
                volume: *volume,
            }),
            (Utterance::Payment(_), None) => {}
        }
    }

    fn say(&self, sentence: Sentence) {
        let (voice, told) = (self.options.voice.clone(), self.told.clone());
        tokio::spawn(async move {
            let problem = voice
                .say(&sentence)
                .await
                .err()
                .map(|error| format!("{error:#}"));
            let utterance = sentence.utterance;
            // When the box is gone meanwhile, its journal knows that the sentence was interrupted.
            let _gone = told.send(Told::Said { utterance, problem }).await;
        });
    }

    /// Writes down whose box this is, and its configuration unless that is refused.
    fn configure(&mut self, push: ConfigPush, refused: Option<String>) -> anyhow::Result<()> {
        let (version, bound) = (push.version, push.binding_id.is_some());
        let device = &mut self.credentials.device;
        device.binding_id = push.binding_id;
        device.config_version = push.version;
        if refused.is_none() {
            device.config = push.config;
        }
        self.credentials.save()?;
        self.take_settings();
        self.tell(Event::Configured {
            version,
            bound,
            settings: self.soundbox.settings().clone(),
            refused,
        });
        Ok(())
    }
}
