//! Carries out the actions of the state machine.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Context;
use wire::UplinkMessage;
use wire::message::ConfigPush;

use super::Session;
use super::background::BackgroundEvent;
use crate::fault_injection::AckDelivery;
use crate::report::{Event, Fault};
use crate::soundbox::{Action, Sentence, Utterance};
use crate::voice::Voice;

impl Session {
    /// Carries out the actions in order.
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
                    self.report(Event::Received {
                        event_id,
                        sequence,
                        sent_to_received_ms,
                    });
                }
                Action::Speak(sentence) => {
                    self.report_sentence(&sentence);
                    if let Voice::Silent = self.options.voice {
                        let more = self.soundbox.spoken(sentence.utterance, Instant::now());
                        actions.extend(more.context("the journal cannot be written")?);
                    } else {
                        self.speak(sentence);
                    }
                }
                Action::Configure { push, refused } => self.configure(push, refused)?,
                Action::StartTask { command_id, task } => self.start_task(command_id, task)?,
                Action::CommandEnded {
                    command_id,
                    kind,
                    payload,
                    status,
                    reason,
                } => {
                    self.report(Event::Command {
                        command_id,
                        kind,
                        payload,
                        status,
                        reason,
                    });
                }
                Action::Qr(response) => {
                    self.report(Event::qr(response.correlation_id, response.outcome))
                }
                Action::ClockSet(_) => {
                    self.unanswered = 0;
                    self.report(Event::ClockSet);
                    for button in std::mem::take(&mut self.options.press) {
                        self.press(button)?;
                    }
                }
                Action::Reboot => {
                    self.report(Event::Rebooting);
                    self.restart = Some("reboot");
                }
                Action::Refused { topic, reason } => {
                    self.report(Event::Refused {
                        topic: topic.to_string(),
                        reason,
                    });
                }
            }
        }
        Ok(())
    }

    /// Publishes. Fault injection may delay or duplicate acknowledgements.
    fn send(&mut self, message: UplinkMessage) -> anyhow::Result<()> {
        if let UplinkMessage::PaymentAck(ack) = &message {
            self.report(Event::Acked {
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
        let delivery = match self.active_faults() {
            Some(faults) if is_ack => faults.ack(),
            _ => AckDelivery::Once,
        };
        match delivery {
            AckDelivery::Once => {}
            AckDelivery::Twice => {
                self.report(Event::Fault(Fault::DuplicateAck));
                self.link.publish(self.device_id(), &message)?;
            }
            AckDelivery::Late(delay) => {
                self.report(Event::Fault(Fault::LateAck));
                self.late.push((Instant::now() + delay, message));
                return Ok(());
            }
        }
        self.link.publish(self.device_id(), &message)
    }

    /// Sends the delayed acknowledgements that are due.
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

    fn report_sentence(&self, sentence: &Sentence) {
        let Sentence {
            utterance,
            payment,
            text,
            volume,
            ..
        } = sentence;
        match (*utterance, payment) {
            (Utterance::Payment(event_id), Some(payment)) => self.report(Event::Spoken {
                event_id,
                transaction_id: payment.transaction_id,
                amount: payment.amount,
                text: text.clone(),
                delayed: payment.delayed,
                volume: *volume,
            }),
            (Utterance::Command(command_id), _) => self.report(Event::CommandSpoken {
                command_id,
                text: text.clone(),
                volume: *volume,
            }),
            (Utterance::Payment(_), None) => {}
        }
    }

    fn speak(&self, sentence: Sentence) {
        let (voice, background) = (self.options.voice.clone(), self.background.clone());
        tokio::spawn(async move {
            let problem = voice
                .speak(&sentence)
                .await
                .err()
                .map(|error| format!("{error:#}"));
            let utterance = sentence.utterance;
            // If the box has ended meanwhile, its journal records the sentence as interrupted.
            let ended = BackgroundEvent::SentenceEnded { utterance, problem };
            let _box_ended = background.send(ended).await;
        });
    }

    /// Stores the binding, and the configuration unless it is refused.
    fn configure(&mut self, push: ConfigPush, refused: Option<String>) -> anyhow::Result<()> {
        let (version, bound) = (push.version, push.binding_id.is_some());
        let device = &mut self.credentials.device;
        device.binding_id = push.binding_id;
        device.config_version = push.version;
        if refused.is_none() {
            device.config = push.config;
        }
        self.credentials.save()?;
        self.apply_settings();
        self.report(Event::Configured {
            version,
            bound,
            settings: self.soundbox.settings().clone(),
            refused,
        });
        Ok(())
    }
}
