//! Payments: accepted once and announced at most once while the journal remembers them (the last [`EVENTS_MAX`] that
//! ended), always acknowledged.
//!
//! [`EVENTS_MAX`]: super::journal::EVENTS_MAX

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use wire::message::{AckStatus, PaymentAck, PaymentSuccess};
use wire::{EventId, UplinkMessage};

use super::action::Announced;
use super::journal::{Journal, Outcome, Progress};
use super::{Action, Sentence, Soundbox, Utterance};

/// How many notifications may wait to be spoken or for the clock.
pub const WAITING_MAX: usize = 256;

/// How many acknowledgements are repeated when they may not have arrived.
const REPEATED_ACKS_MAX: usize = 32;

/// What a box resumes from its journal: the notifications that still wait to be spoken, and how many sentences were
/// interrupted. Those are recorded as failed and never repeated.
pub(super) fn resume(journal: &mut Journal) -> io::Result<(VecDeque<PaymentSuccess>, u64)> {
    let mut waiting = VecDeque::new();
    let mut interrupted = Vec::new();
    for (event_id, progress) in journal.open_events() {
        match progress {
            Progress::Accepted(payment) => waiting.push_back(payment.as_ref().clone()),
            Progress::Speaking => interrupted.push(event_id),
            Progress::Done(_) => {}
        }
    }
    for event_id in &interrupted {
        journal.done(*event_id, not_played(AckStatus::Failed, "interrupted"))?;
    }
    Ok((waiting, interrupted.len() as u64))
}

/// The last acknowledgements once more. The platform does not resend a notification that was received, so its final
/// acknowledgement must come from the box, and the first one may have been lost with the box's power or session.
pub(super) fn repeat_acks(journal: &Journal) -> Vec<Action> {
    journal
        .ended_last(REPEATED_ACKS_MAX)
        .map(|(event_id, outcome)| send(ack(event_id, outcome)))
        .collect()
}

impl Soundbox {
    /// Handles a notification: acknowledges it, and announces it now or later unless it must not be announced.
    pub(super) fn receive_payment(
        &mut self,
        payment: PaymentSuccess,
        now: Instant,
    ) -> io::Result<Vec<Action>> {
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
        // One that waits is stored whole. For one that is spoken at once, `speaking` is the first journal entry.
        let waits =
            self.speaking.is_some() || !self.waiting.is_empty() || self.clock.now(now).is_none();
        if waits {
            self.journal.accepted(&payment)?;
        }
        self.waiting.push_back(payment);
        match self.begin_next(now) {
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

    /// Begins the next announcement. Notifications that must not be spoken end here.
    pub(super) fn begin_announcement(&mut self, now: Instant) -> io::Result<Vec<Action>> {
        let mut actions = Vec::new();
        while !self.stopping
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
                utterance: Utterance::Payment(event_id),
                payment: Some(Announced {
                    transaction_id: payment.transaction_id,
                    amount: payment.amount,
                    delayed,
                }),
                text: if delayed {
                    speech.delayed_text.clone()
                } else {
                    speech.text.clone()
                },
                language: speech.language.clone(),
                volume: self.identity.settings.volume_at(time),
            };
            self.journal.speaking(event_id)?;
            self.waiting.pop_front();
            self.speaking = Some(Utterance::Payment(event_id));
            actions.push(Action::Speak(sentence));
        }
        Ok(actions)
    }

    /// Records and acknowledges that the sentence of a notification has ended.
    pub(super) fn announcement_ended(
        &mut self,
        event_id: EventId,
        result: Result<(), &str>,
        now: Instant,
    ) -> io::Result<Action> {
        let outcome = match result {
            Ok(()) => {
                self.counters.spoken += 1;
                Outcome {
                    status: AckStatus::Played,
                    reason: None,
                    played_at: self.stated_time(now),
                }
            }
            Err(reason) => {
                self.counters.failed += 1;
                not_played(AckStatus::Failed, reason)
            }
        };
        let answer = send(ack(event_id, &outcome));
        self.journal.done(event_id, outcome)?;
        Ok(answer)
    }

    /// Ends a notification whose sentence was never begun.
    fn finish(&mut self, event_id: EventId, outcome: Outcome) -> io::Result<Action> {
        match outcome.status {
            AckStatus::Stale => self.counters.stale += 1,
            _ => self.counters.failed += 1,
        }
        let ack = ack(event_id, &outcome);
        self.journal.done(event_id, outcome)?;
        Ok(send(ack))
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
