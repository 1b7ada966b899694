//! What was paid, what was said, and who was there: the evidence from which a scenario is judged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use wire::{DeviceId, TransactionId};

use crate::latency::{Latency, Percentiles};
use crate::link::Transport;
use crate::report::{Event, Fault, Report};

/// The evidence.
#[derive(Debug, Default)]
pub struct Book {
    payments: HashMap<TransactionId, Payment>,
    said: HashMap<TransactionId, Vec<Said>>,
    presence: HashMap<DeviceId, Presence>,
    callback: Latency,
    reconnect: Latency,
    reconnect_longest: Duration,
    refused: u64,
    faults: BTreeMap<Fault, u64>,
}

#[derive(Debug)]
struct Payment {
    /// The boxes of its terminal.
    hearers: Vec<DeviceId>,
    /// When the callback that was accepted was sent, or else the last one.
    sent_at: Instant,
    accepted: bool,
}

#[derive(Debug)]
struct Said {
    device_id: DeviceId,
    at: Instant,
}

#[derive(Debug, Default)]
struct Presence {
    transport: Transport,
    connected: bool,
    ready: bool,
    lost_at: Option<Instant>,
}

/// What became of the payments, announcement by announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Callbacks that were accepted.
    pub accepted: u64,
    /// Payments whose callback was never accepted.
    pub not_accepted: u64,
    /// Announcements that were due.
    pub due: u64,
    /// Said once.
    pub once: u64,
    /// Never said.
    pub lost: u64,
    /// Said more than once.
    pub repeated: u64,
    /// Said by a box that had no business with it, or of a payment that nobody made.
    pub foreign: u64,
    /// From the sending of the callback to the sentence.
    pub heard: Percentiles,
    /// From the sending of the callback to its answer.
    pub callback: Percentiles,
    /// From the loss of a connection to the box being there and knowing the time.
    pub reconnect: Percentiles,
    /// Messages that boxes did not believe.
    pub refused: u64,
}

impl Book {
    /// A callback is about to be sent.
    pub fn paying(&mut self, id: TransactionId, hearers: &[DeviceId], now: Instant) {
        let payment = self.payments.entry(id).or_insert_with(|| Payment {
            hearers: hearers.to_vec(),
            sent_at: now,
            accepted: false,
        });
        payment.sent_at = now;
    }

    /// It was accepted.
    pub fn accepted(&mut self, id: TransactionId, now: Instant) {
        if let Some(payment) = self.payments.get_mut(&id)
            && !std::mem::replace(&mut payment.accepted, true)
        {
            self.callback.record(now.duration_since(payment.sent_at));
        }
    }

    /// Takes in what happened to a box.
    pub fn take(&mut self, report: &Report, now: Instant) {
        let device_id = report.device_id;
        let presence = self.presence.entry(device_id).or_default();
        match &report.event {
            Event::Started { transport, .. } => {
                presence.transport = *transport;
                // A box that lost its power does not say that it is gone.
                presence.lose(now);
            }
            Event::Connected { .. } => {
                presence.connected = true;
                if presence.transport == Transport::Http {
                    self.back(device_id, now);
                }
            }
            Event::ClockSet => {
                presence.ready = true;
                if presence.transport == Transport::Mqtt {
                    self.back(device_id, now);
                }
            }
            Event::Disconnected { .. } | Event::Stopped { .. } => presence.lose(now),
            Event::Spoken { transaction_id, .. } => {
                let said = self.said.entry(*transaction_id).or_default();
                said.push(Said { device_id, at: now });
            }
            Event::Refused { .. } => self.refused += 1,
            Event::Fault(fault) => *self.faults.entry(*fault).or_default() += 1,
            _ => {}
        }
    }

    fn back(&mut self, device_id: DeviceId, now: Instant) {
        let lost_at = self
            .presence
            .get_mut(&device_id)
            .and_then(|presence| presence.lost_at.take());
        if let Some(lost_at) = lost_at {
            let away = now.duration_since(lost_at);
            self.reconnect.record(away);
            self.reconnect_longest = self.reconnect_longest.max(away);
        }
    }

    /// A box is made to lose its connection now, whenever it notices.
    pub fn cut(&mut self, device_id: DeviceId, now: Instant) {
        if let Some(presence) = self.presence.get_mut(&device_id) {
            presence.lose(now);
        }
    }

    /// How many boxes are there and know the time.
    pub fn present(&self) -> usize {
        self.presence
            .values()
            .filter(|presence| presence.connected && presence.ready && presence.lost_at.is_none())
            .count()
    }

    /// How many payments were accepted, and how many sentences said.
    pub fn progress(&self) -> (usize, usize) {
        let accepted = self.payments.values().filter(|one| one.accepted).count();
        (accepted, self.said.values().map(Vec::len).sum())
    }

    /// Whether every accepted payment was said by each box of its terminal.
    pub fn all_heard(&self) -> bool {
        self.payments
            .iter()
            .filter(|(_, payment)| payment.accepted)
            .all(|(id, payment)| {
                let said = self.said.get(id).map(Vec::as_slice).unwrap_or_default();
                payment
                    .hearers
                    .iter()
                    .all(|hearer| said.iter().any(|one| one.device_id == *hearer))
            })
    }

    /// The accepted payments of each box.
    pub fn dues(&self) -> HashMap<DeviceId, HashSet<TransactionId>> {
        let mut dues: HashMap<DeviceId, HashSet<TransactionId>> = HashMap::new();
        for (id, payment) in self.payments.iter().filter(|(_, one)| one.accepted) {
            for hearer in &payment.hearers {
                dues.entry(*hearer).or_default().insert(*id);
            }
        }
        dues
    }

    /// The longest that a box was away.
    pub fn longest_away(&self) -> Duration {
        self.reconnect_longest
    }

    /// What went wrong on purpose.
    pub fn faults(&self) -> &BTreeMap<Fault, u64> {
        &self.faults
    }

    /// What became of it all.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            callback: self.callback.percentiles(),
            reconnect: self.reconnect.percentiles(),
            refused: self.refused,
            ..Figures::default()
        };
        let mut heard = Latency::default();
        for (id, payment) in &self.payments {
            let said = self.said.get(id).map(Vec::as_slice).unwrap_or_default();
            if payment.accepted {
                figures.accepted += 1;
            } else {
                // Whether the platform has it is not known: to be heard is right, and not to be heard as well.
                figures.not_accepted += 1;
            }
            for hearer in &payment.hearers {
                let own: Vec<&Said> = said.iter().filter(|one| one.device_id == *hearer).collect();
                figures.due += u64::from(payment.accepted);
                match own.as_slice() {
                    [] => figures.lost += u64::from(payment.accepted),
                    [one] => {
                        figures.once += 1;
                        heard.record(one.at.saturating_duration_since(payment.sent_at));
                    }
                    [_, _, ..] => figures.repeated += 1,
                }
            }
            let strangers = said
                .iter()
                .filter(|one| !payment.hearers.contains(&one.device_id));
            figures.foreign += strangers.count() as u64;
        }
        let nobodys = self
            .said
            .iter()
            .filter(|(id, _)| !self.payments.contains_key(id));
        figures.foreign += nobodys.map(|(_, said)| said.len() as u64).sum::<u64>();
        figures.heard = heard.percentiles();
        figures
    }
}

impl Presence {
    fn lose(&mut self, now: Instant) {
        if self.connected && self.lost_at.is_none() {
            self.lost_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::{EventId, Rupiah};

    use super::*;
    use crate::soundbox::fixtures::noon;

    fn device(number: u128) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(number))
    }

    fn transaction(number: u128) -> TransactionId {
        TransactionId::from_uuid(Uuid::from_u128(number))
    }

    fn report(device_id: DeviceId, event: Event) -> Report {
        Report {
            device_id,
            at: noon(),
            event,
        }
    }

    fn spoken(number: u128, event: u128) -> Event {
        Event::Spoken {
            event_id: EventId::from_uuid(Uuid::from_u128(event)),
            transaction_id: transaction(number),
            amount: Rupiah::from_i64(1_000),
            text: String::new(),
            delayed: false,
            volume: 8,
        }
    }

    /// Two boxes at one terminal, and a payment that was accepted.
    fn paid(now: Instant) -> Book {
        let mut book = Book::default();
        book.paying(transaction(1), &[device(1), device(2)], now);
        book.accepted(transaction(1), now + Duration::from_millis(5));
        book
    }

    #[test]
    fn each_box_of_the_terminal_says_it_once() {
        let now = Instant::now();
        let mut book = paid(now);
        let later = now + Duration::from_millis(20);
        book.take(&report(device(1), spoken(1, 1)), later);
        assert!(!book.all_heard());
        let figures = book.figures();
        assert_eq!((figures.due, figures.once, figures.lost), (2, 1, 1));
        book.take(&report(device(2), spoken(1, 2)), later);
        assert!(book.all_heard());
        let figures = book.figures();
        assert_eq!((figures.once, figures.lost, figures.repeated), (2, 0, 0));
        assert_eq!((figures.heard.max_ms, figures.callback.max_ms), (20, 5));
    }

    #[test]
    fn what_is_said_again_or_by_another_or_of_nothing_is_seen() {
        let now = Instant::now();
        let mut book = paid(now);
        book.take(&report(device(1), spoken(1, 1)), now);
        book.take(&report(device(1), spoken(1, 1)), now);
        book.take(&report(device(3), spoken(1, 3)), now);
        book.take(&report(device(1), spoken(9, 9)), now);
        let figures = book.figures();
        assert_eq!((figures.repeated, figures.foreign), (1, 2));
    }

    #[test]
    fn a_payment_that_nobody_accepted_need_not_be_heard_but_may() {
        let now = Instant::now();
        let mut book = Book::default();
        book.paying(transaction(1), &[device(1)], now);
        assert!(book.all_heard());
        assert_eq!((book.figures().not_accepted, book.figures().lost), (1, 0));
        book.take(&report(device(1), spoken(1, 1)), now);
        assert_eq!((book.figures().foreign, book.figures().repeated), (0, 0));
    }

    #[test]
    fn the_way_back_is_measured_from_the_loss_to_the_clock() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut book = Book::default();
        let mut happens = |event, ms| book.take(&report(device(1), event), at(ms));
        let connected = || Event::Connected {
            session_present: true,
        };
        happens(connected(), 0);
        happens(Event::ClockSet, 10);
        let lost = Event::Disconnected {
            reason: String::new(),
            retry_in_ms: 0,
        };
        happens(lost, 100);
        happens(connected(), 150);
        happens(Event::ClockSet, 160);
        assert_eq!(book.present(), 1);
        let reconnect = book.figures().reconnect;
        assert_eq!((reconnect.count, reconnect.max_ms), (1, 60));
        assert_eq!(book.longest_away(), Duration::from_millis(60));
    }
}
