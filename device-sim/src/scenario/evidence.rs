//! What was paid, what was announced and which boxes were connected: the evidence from which a scenario is judged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use wire::{DeviceId, Rupiah, TransactionId};

use crate::latency::{Latency, Percentiles};
use crate::link::Transport;
use crate::report::{Event, Fault, Report};

/// The evidence.
#[derive(Debug, Default)]
pub struct Evidence {
    payments: HashMap<TransactionId, Payment>,
    announcements: HashMap<TransactionId, Vec<Announcement>>,
    /// Of boxes that do not know the transaction, in the order in which they were made.
    by_amount: Vec<ByAmount>,
    presence: HashMap<DeviceId, Presence>,
    callback: Latency,
    reconnect: Latency,
    reconnect_longest: Duration,
    refused: u64,
    faults: BTreeMap<Fault, u64>,
}

#[derive(Debug)]
struct Payment {
    /// The boxes of its terminal, each of which is due to announce it.
    boxes: Vec<DeviceId>,
    amount: Rupiah,
    /// When the accepted callback was sent, or else the last one.
    sent_at: Instant,
    accepted: bool,
}

/// A box spoke a payment.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    device_id: DeviceId,
    at: Instant,
}

/// A box spoke an amount, or something of which it does not know the amount.
#[derive(Debug)]
struct ByAmount {
    announcement: Announcement,
    amount: Option<Rupiah>,
}

#[derive(Debug, Default)]
struct Presence {
    transport: Transport,
    connected: bool,
    /// The box has the time.
    ready: bool,
    lost_at: Option<Instant>,
}

/// The payments' result, counted by announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Callbacks that were accepted.
    pub accepted: u64,
    /// Payments whose callback was never accepted.
    pub not_accepted: u64,
    /// Announcements that were due.
    pub due: u64,
    /// Announced once.
    pub once: u64,
    /// Never announced.
    pub lost: u64,
    /// Announced more than once.
    pub repeated: u64,
    /// Announced by a box of another terminal, or without a payment.
    pub foreign: u64,
    /// From sending the callback to the announcement.
    pub heard: Percentiles,
    /// From sending the callback to its answer.
    pub callback: Percentiles,
    /// From the loss of a connection until the box is connected again and has the time.
    pub reconnect: Percentiles,
    /// Messages that boxes refused.
    pub refused: u64,
}

impl Evidence {
    /// A callback is about to be sent.
    pub fn callback_sent(
        &mut self,
        id: TransactionId,
        boxes: &[DeviceId],
        amount: Rupiah,
        now: Instant,
    ) {
        let payment = self.payments.entry(id).or_insert_with(|| Payment {
            boxes: boxes.to_vec(),
            amount,
            sent_at: now,
            accepted: false,
        });
        payment.sent_at = now;
    }

    /// The platform accepted the callback.
    pub fn callback_accepted(&mut self, id: TransactionId, now: Instant) {
        if let Some(payment) = self.payments.get_mut(&id)
            && !std::mem::replace(&mut payment.accepted, true)
        {
            self.callback.record(now.duration_since(payment.sent_at));
        }
    }

    /// Records an event of a box.
    pub fn record(&mut self, report: &Report, now: Instant) {
        let device_id = report.device_id;
        let presence = self.presence.entry(device_id).or_default();
        match &report.event {
            Event::Started { transport, .. } => {
                presence.transport = *transport;
                // A box that loses its power reports no disconnection.
                presence.lose(now);
            }
            Event::Connected { .. } => {
                presence.connected = true;
                if presence.transport == Transport::Http {
                    self.reconnected(device_id, now);
                }
            }
            Event::ClockSet | Event::Subscribed => {
                presence.ready = true;
                if presence.transport == Transport::Mqtt {
                    self.reconnected(device_id, now);
                }
            }
            Event::Disconnected { .. } | Event::Stopped { .. } => presence.lose(now),
            Event::Spoken { transaction_id, .. } => {
                let announcements = self.announcements.entry(*transaction_id).or_default();
                announcements.push(Announcement { device_id, at: now });
            }
            Event::Announced { amount, .. } => self.by_amount.push(ByAmount {
                announcement: Announcement { device_id, at: now },
                amount: *amount,
            }),
            Event::Refused { .. } => self.refused += 1,
            Event::Fault(fault) => *self.faults.entry(*fault).or_default() += 1,
            _ => {}
        }
    }

    fn reconnected(&mut self, device_id: DeviceId, now: Instant) {
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

    /// A fault cuts the box's connection now. The box itself notices later.
    pub fn connection_cut(&mut self, device_id: DeviceId, now: Instant) {
        if let Some(presence) = self.presence.get_mut(&device_id) {
            presence.lose(now);
        }
    }

    /// How many boxes are connected and have the time.
    pub fn ready_boxes(&self) -> usize {
        self.presence
            .values()
            .filter(|presence| presence.connected && presence.ready && presence.lost_at.is_none())
            .count()
    }

    /// How many payments were accepted, and how many announcements made.
    pub fn progress(&self) -> (usize, usize) {
        let accepted = self.payments.values().filter(|one| one.accepted).count();
        let by_id: usize = self.announcements.values().map(Vec::len).sum();
        (accepted, by_id + self.by_amount.len())
    }

    /// The announcements of each payment, and how many belong to none.
    ///
    /// Where a box states an amount alone, the announcement is of its oldest payment of that amount that it has not yet
    /// announced; of one that it has announced, if there is no other. Only now can that be said: a payment of a printed
    /// code has its id from the answer to the callback, which may come after the announcement.
    fn attributed(&self) -> (HashMap<TransactionId, Vec<Announcement>>, u64) {
        let mut by_payment = self.announcements.clone();
        let mut payments: Vec<_> = self.payments.iter().collect();
        payments.sort_by_key(|(id, payment)| (payment.sent_at, **id));
        let mut of_none = 0;
        for ByAmount {
            announcement,
            amount,
        } in &self.by_amount
        {
            let device_id = announcement.device_id;
            let is_its = |payment: &Payment| {
                payment.boxes.contains(&device_id)
                    && amount.is_none_or(|amount| amount == payment.amount)
            };
            let announced = |id: &TransactionId| {
                let made = by_payment.get(id).into_iter().flatten();
                made.into_iter().any(|one| one.device_id == device_id)
            };
            let its = || payments.iter().filter(|(_, payment)| is_its(payment));
            let new = its().find(|(id, _)| !announced(id));
            match new.or_else(|| its().next()) {
                Some((id, _)) => by_payment.entry(**id).or_default().push(*announcement),
                None => of_none += 1,
            }
        }
        (by_payment, of_none)
    }

    /// Whether every accepted payment was announced by each box of its terminal.
    pub fn all_announced(&self) -> bool {
        let (by_payment, _) = self.attributed();
        let mut accepted = self.payments.iter().filter(|(_, payment)| payment.accepted);
        accepted.all(|(id, payment)| {
            let announcements = by_payment.get(id).map_or(&[][..], Vec::as_slice);
            let mut boxes = payment.boxes.iter();
            boxes.all(|device_id| announcements.iter().any(|one| one.device_id == *device_id))
        })
    }

    /// The accepted payments that each box is due to announce.
    pub fn due_by_box(&self) -> HashMap<DeviceId, HashSet<TransactionId>> {
        let mut due: HashMap<DeviceId, HashSet<TransactionId>> = HashMap::new();
        for (id, payment) in self.payments.iter().filter(|(_, one)| one.accepted) {
            for device_id in &payment.boxes {
                due.entry(*device_id).or_default().insert(*id);
            }
        }
        due
    }

    /// The longest time that a box was disconnected.
    pub fn longest_away(&self) -> Duration {
        self.reconnect_longest
    }

    /// The injected faults.
    pub fn faults(&self) -> &BTreeMap<Fault, u64> {
        &self.faults
    }

    /// The result so far.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            callback: self.callback.percentiles(),
            reconnect: self.reconnect.percentiles(),
            refused: self.refused,
            ..Figures::default()
        };
        let (by_payment, of_none) = self.attributed();
        figures.foreign = of_none;
        let mut heard = Latency::default();
        for (id, payment) in &self.payments {
            let announcements = by_payment.get(id).map_or(&[][..], Vec::as_slice);
            if payment.accepted {
                figures.accepted += 1;
            } else {
                // The platform may or may not have stored it, so it may or may not be announced.
                figures.not_accepted += 1;
            }
            for device_id in &payment.boxes {
                let own: Vec<&Announcement> = announcements
                    .iter()
                    .filter(|one| one.device_id == *device_id)
                    .collect();
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
            let foreign = announcements
                .iter()
                .filter(|one| !payment.boxes.contains(&one.device_id));
            figures.foreign += foreign.count() as u64;
        }
        let without_payment = by_payment
            .iter()
            .filter(|(id, _)| !self.payments.contains_key(id));
        figures.foreign += without_payment
            .map(|(_, all)| all.len() as u64)
            .sum::<u64>();
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
    fn paid(now: Instant) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.callback_sent(
            transaction(1),
            &[device(1), device(2)],
            Rupiah::from_i64(1_000),
            now,
        );
        evidence.callback_accepted(transaction(1), now + Duration::from_millis(5));
        evidence
    }

    #[test]
    fn each_box_of_the_terminal_announces_once() {
        let now = Instant::now();
        let mut evidence = paid(now);
        let later = now + Duration::from_millis(20);
        evidence.record(&report(device(1), spoken(1, 1)), later);
        assert!(!evidence.all_announced());
        let figures = evidence.figures();
        assert_eq!((figures.due, figures.once, figures.lost), (2, 1, 1));
        evidence.record(&report(device(2), spoken(1, 2)), later);
        assert!(evidence.all_announced());
        let figures = evidence.figures();
        assert_eq!((figures.once, figures.lost, figures.repeated), (2, 0, 0));
        assert_eq!((figures.heard.max_ms, figures.callback.max_ms), (20, 5));
    }

    #[test]
    fn repeated_and_foreign_announcements_are_counted() {
        let now = Instant::now();
        let mut evidence = paid(now);
        evidence.record(&report(device(1), spoken(1, 1)), now);
        evidence.record(&report(device(1), spoken(1, 1)), now);
        evidence.record(&report(device(3), spoken(1, 3)), now);
        evidence.record(&report(device(1), spoken(9, 9)), now);
        let figures = evidence.figures();
        assert_eq!((figures.repeated, figures.foreign), (1, 2));
    }

    #[test]
    fn an_amount_alone_is_the_oldest_payment_of_it_that_the_box_has_not_announced() {
        let now = Instant::now();
        let mut evidence = Evidence::default();
        let announced = |amount: Option<i64>| Event::Announced {
            id: None,
            amount: amount.map(Rupiah::from_i64),
            text: String::new(),
        };
        // Heard before the answer to the callback says which transaction it is.
        evidence.record(&report(device(1), announced(Some(1_000))), now);
        for number in [1, 2] {
            let amount = Rupiah::from_i64(1_000);
            evidence.callback_sent(transaction(number), &[device(1)], amount, now);
            evidence.callback_accepted(transaction(number), now);
        }
        assert!(!evidence.all_announced());
        evidence.record(&report(device(1), announced(Some(1_000))), now);
        assert!(evidence.all_announced());
        assert_eq!(evidence.figures().once, 2);
        evidence.record(&report(device(1), announced(None)), now);
        evidence.record(&report(device(1), announced(Some(7))), now);
        evidence.record(&report(device(2), announced(Some(1_000))), now);
        let figures = evidence.figures();
        assert_eq!((figures.once, figures.repeated, figures.foreign), (1, 1, 2));
    }

    #[test]
    fn a_payment_that_was_not_accepted_may_be_announced_or_not() {
        let now = Instant::now();
        let mut evidence = Evidence::default();
        evidence.callback_sent(transaction(1), &[device(1)], Rupiah::from_i64(1_000), now);
        assert!(evidence.all_announced());
        assert_eq!(
            (evidence.figures().not_accepted, evidence.figures().lost),
            (1, 0)
        );
        evidence.record(&report(device(1), spoken(1, 1)), now);
        assert_eq!(
            (evidence.figures().foreign, evidence.figures().repeated),
            (0, 0)
        );
    }

    #[test]
    fn reconnect_time_is_measured_from_the_loss_to_the_clock() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut evidence = Evidence::default();
        let mut happens = |event, ms| evidence.record(&report(device(1), event), at(ms));
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
        assert_eq!(evidence.ready_boxes(), 1);
        let reconnect = evidence.figures().reconnect;
        assert_eq!((reconnect.count, reconnect.max_ms), (1, 60));
        assert_eq!(evidence.longest_away(), Duration::from_millis(60));
    }
}
