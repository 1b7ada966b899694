//! Decides whether every payment was played exactly once.
//!
//! The evidence has three sources: the acquirer (a payment was accepted), the boxes (a payment was spoken, in this run
//! or an earlier one), and the platform's record (the notifications and their acknowledgements). A payment is played
//! when its record says so for every box of this run at its terminal, and each of them spoke it once.
//!
//! A scenario of the simulator has evidence of its own (`device_sim::scenario::evidence`). It counts notifications of one
//! process; this one decides payment by payment, across restarts, and reads the platform's record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use wire::{DeviceId, EventId, Rupiah, TransactionId};

use super::api::{Notification, Transaction};
use super::simulator_event::Spoken;

/// A box that has just been started may miss a notification that expires within this time.
const START_MARGIN: TimeDelta = TimeDelta::seconds(10);
/// The interval between two lookups of a payment's record doubles between these limits.
const LOOKUP_INTERVAL_MIN: Duration = Duration::from_millis(20);
const LOOKUP_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Payments that are kept one by one; a demonstration may run for weeks.
const PAYMENTS_MAX: usize = 5_000;
/// The most latencies that are kept for the median.
const LATENCIES_MAX: usize = 100_000;

/// The outcome of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not yet decided.
    Waiting,
    /// Spoken once by every box at its terminal, and acknowledged.
    Played,
    /// Spoken more than once by one box.
    Repeated,
    /// Spoken although it was not paid, or with another amount.
    Unfounded(&'static str),
    /// Not spoken, finally.
    Lost(String),
    /// Paid so long ago that by contract it is not announced any more.
    TooLate,
}

/// How often one box spoke one notification.
#[derive(Debug)]
struct Plays {
    count: u32,
    amount: Rupiah,
    text: String,
}

#[derive(Debug)]
struct Payment {
    /// The duration of the accepted callback.
    callback_ms: Option<u64>,
    record: Option<Transaction>,
    /// The notifications of it that were spoken in this run.
    spoken: BTreeSet<(EventId, DeviceId)>,
    /// A box spoke since the record was read.
    is_record_old: bool,
    /// The printed outcome.
    shown: Option<Outcome>,
    next_lookup: Instant,
    wait: Duration,
}

/// A payment as it is printed.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: TransactionId,
    pub(super) outcome: Outcome,
    pub(super) callback_ms: Option<u64>,
    pub(super) record: Option<&'a Transaction>,
    /// The notifications to boxes of this run, each with how often it was spoken.
    pub(super) notifications: Vec<(&'a Notification, u32)>,
    /// The spoken sentence.
    pub(super) text: Option<&'a str>,
}

/// The sums over all payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) payments: usize,
    pub(super) played_once: usize,
    pub(super) lost: usize,
    pub(super) repeated: usize,
    pub(super) unfounded: usize,
    /// From the payment's commit to the box's acknowledgement, of payments made in this run.
    pub(super) p50_ms: Option<i64>,
    pub(super) max_ms: Option<i64>,
}

impl Summary {
    /// Whether every payment was played exactly once.
    pub(super) fn is_clean(&self) -> bool {
        self.played_once == self.payments
    }
}

/// The evidence of this run.
pub(super) struct Evidence {
    boxes: HashSet<DeviceId>,
    /// When this run was ready.
    since: DateTime<Utc>,
    /// How long after the payment it may be announced.
    window: TimeDelta,
    /// Payments that an earlier run printed as played.
    played_earlier: HashSet<TransactionId>,
    plays: HashMap<(EventId, DeviceId), Plays>,
    payments: BTreeMap<TransactionId, Payment>,
    /// Those of them that are not decided, or of which something was spoken since.
    undecided: BTreeSet<TransactionId>,
    /// The sums over payments that were refused for good, or dropped after they were decided.
    closed: Totals,
}

#[derive(Debug, Clone, Default)]
struct Totals {
    payments: usize,
    played_once: usize,
    lost: usize,
    repeated: usize,
    unfounded: usize,
    latencies_ms: VecDeque<i64>,
}

impl Evidence {
    /// Empty evidence for these boxes.
    pub(super) fn new(
        boxes: impl IntoIterator<Item = DeviceId>,
        since: DateTime<Utc>,
        window: TimeDelta,
        played_earlier: HashSet<TransactionId>,
    ) -> Self {
        Self {
            boxes: boxes.into_iter().collect(),
            since,
            window,
            played_earlier,
            plays: HashMap::new(),
            payments: BTreeMap::new(),
            undecided: BTreeSet::new(),
            closed: Totals::default(),
        }
    }

    /// A box spoke a payment in an earlier run.
    pub(super) fn spoken_earlier(&mut self, spoken: Spoken) {
        let key = (spoken.event_id, spoken.device_id);
        self.plays
            .entry(key)
            .or_insert(Plays {
                count: 0,
                amount: spoken.amount,
                text: spoken.text,
            })
            .count += 1;
    }

    /// A box spoke a payment.
    pub(super) fn spoken(&mut self, spoken: Spoken, now: Instant) {
        let id = spoken.transaction_id;
        let key = (spoken.event_id, spoken.device_id);
        self.spoken_earlier(spoken);
        let payment = self.payment(id, now);
        payment.spoken.insert(key);
        payment.is_record_old = true;
        // The acknowledgement follows shortly.
        payment.wait = LOOKUP_INTERVAL_MIN;
        payment.next_lookup = now + LOOKUP_INTERVAL_MIN;
    }

    /// A payment that was spoken in an earlier run and not printed.
    pub(super) fn unreported(&mut self, id: TransactionId, now: Instant) {
        self.payment(id, now);
    }

    /// The platform accepted a callback.
    pub(super) fn accepted(&mut self, id: TransactionId, callback_ms: u64, now: Instant) {
        self.payment(id, now).callback_ms = Some(callback_ms);
    }

    /// The platform refused a callback for good.
    pub(super) fn rejected(&mut self) {
        self.closed.payments += 1;
        self.closed.lost += 1;
    }

    /// A notification of an earlier run that may be open.
    pub(super) fn notification_open(&mut self, notification: &Notification, now: Instant) {
        let open = matches!(
            notification.status.as_str(),
            "pending" | "sent" | "received"
        );
        if open && self.is_expected(notification) {
            self.payment(notification.transaction_id, now);
        }
    }

    fn payment(&mut self, id: TransactionId, now: Instant) -> &mut Payment {
        self.undecided.insert(id);
        self.payments.entry(id).or_insert(Payment {
            callback_ms: None,
            record: None,
            spoken: BTreeSet::new(),
            is_record_old: false,
            shown: None,
            next_lookup: now + LOOKUP_INTERVAL_MIN,
            wait: LOOKUP_INTERVAL_MIN,
        })
    }

    /// Up to `limit` payments whose record is due to be read at `now`.
    pub(super) fn due_lookups(&self, limit: usize, now: Instant) -> Vec<TransactionId> {
        let mut due: Vec<_> = self
            .undecided
            .iter()
            .filter_map(|id| Some((self.payments.get(id)?.next_lookup, *id)))
            .filter(|(next_lookup, _)| *next_lookup <= now)
            .collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(_, id)| id).collect()
    }

    /// The record of a payment was read; `None` when the platform has no such payment or does not answer.
    pub(super) fn record_read(
        &mut self,
        id: TransactionId,
        record: Option<Transaction>,
        now: Instant,
    ) {
        if let Some(payment) = self.payments.get_mut(&id) {
            if record.is_some() {
                payment.record = record;
                payment.is_record_old = false;
            }
            payment.next_lookup = now + payment.wait;
            payment.wait = (payment.wait * 2).min(LOOKUP_INTERVAL_MAX);
        }
    }

    /// Whether any payment is undecided.
    pub(super) fn is_waiting(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// The payments that were decided since the last call; at the `end`, all that are left.
    pub(super) fn take_decided(&mut self, end: bool) -> Vec<Entry<'_>> {
        self.forget();
        let mut fresh = Vec::new();
        for id in self.undecided.clone() {
            let Some(payment) = self.payments.get(&id) else {
                continue;
            };
            let outcome = match self.outcome(id, payment) {
                Outcome::Waiting if !end => continue,
                Outcome::Waiting => Outcome::Lost("it was not played in time".to_owned()),
                outcome => outcome,
            };
            self.undecided.remove(&id);
            let again = outcome == Outcome::Played && self.played_earlier.contains(&id);
            let shown = self
                .payments
                .get_mut(&id)
                .and_then(|payment| payment.shown.replace(outcome.clone()));
            if !again && shown != Some(outcome) {
                fresh.push(id);
            }
        }
        fresh.into_iter().filter_map(|id| self.entry(id)).collect()
    }

    /// Adds the oldest decided payments to the closed sums and drops them when there are too many.
    fn forget(&mut self) {
        if self.payments.len() <= PAYMENTS_MAX {
            return;
        }
        let old: Vec<_> = self
            .payments
            .keys()
            .filter(|id| !self.undecided.contains(id))
            .take(PAYMENTS_MAX / 2)
            .copied()
            .collect();
        for id in old {
            if let Some(payment) = self.payments.remove(&id) {
                let mut closed = std::mem::take(&mut self.closed);
                self.count_in(&mut closed, id, &payment);
                self.closed = closed;
                for one in payment.record.iter().flat_map(|one| &one.notifications) {
                    self.plays.remove(&(one.event_id, one.device_id));
                }
            }
        }
    }

    fn entry(&self, id: TransactionId) -> Option<Entry<'_>> {
        let payment = self.payments.get(&id)?;
        let record = payment.record.as_ref();
        let notifications: Vec<_> = self
            .of_these_boxes(record)
            .map(|notification| (notification, self.count(notification)))
            .collect();
        let text = notifications.iter().find_map(|(notification, _)| {
            let key = (notification.event_id, notification.device_id);
            self.plays.get(&key).map(|plays| plays.text.as_str())
        });
        Some(Entry {
            id,
            outcome: payment.shown.clone()?,
            callback_ms: payment.callback_ms,
            record,
            notifications,
            text,
        })
    }

    fn of_these_boxes<'a>(
        &'a self,
        record: Option<&'a Transaction>,
    ) -> impl Iterator<Item = &'a Notification> {
        record
            .into_iter()
            .flat_map(|record| &record.notifications)
            .filter(|notification| self.boxes.contains(&notification.device_id))
    }

    fn count(&self, notification: &Notification) -> u32 {
        self.plays
            .get(&(notification.event_id, notification.device_id))
            .map_or(0, |plays| plays.count)
    }

    /// Whether a box of this run must have spoken it.
    fn is_expected(&self, notification: &Notification) -> bool {
        self.boxes.contains(&notification.device_id)
            && notification.announce_until > self.since + START_MARGIN
    }

    fn outcome(&self, id: TransactionId, payment: &Payment) -> Outcome {
        let Some(record) = &payment.record else {
            return Outcome::Waiting;
        };
        if payment.is_record_old {
            return Outcome::Waiting;
        }
        for key in &payment.spoken {
            let mut notified = record.notifications.iter();
            if !notified.any(|one| (one.event_id, one.device_id) == *key) {
                return Outcome::Unfounded("it was not announced");
            }
        }
        for notification in self.of_these_boxes(Some(record)) {
            let key = (notification.event_id, notification.device_id);
            match self.plays.get(&key) {
                Some(plays) if plays.count > 1 => return Outcome::Repeated,
                Some(plays) if plays.amount != record.amount => {
                    return Outcome::Unfounded("another amount was spoken");
                }
                _ => {}
            }
        }
        if !matches!(record.status.as_str(), "paid" | "reversed") {
            return match payment.spoken.is_empty() {
                true => Outcome::Waiting,
                false => Outcome::Unfounded("it was not paid"),
            };
        }
        let mut expected = 0;
        let mut waiting = false;
        for notification in self.of_these_boxes(Some(record)) {
            if !self.is_expected(notification) && self.count(notification) == 0 {
                continue;
            }
            expected += 1;
            match (notification.status.as_str(), self.count(notification)) {
                ("played", 1) => {}
                ("failed" | "stale", _) => {
                    let reason = notification.reason.as_deref().unwrap_or("no reason given");
                    return Outcome::Lost(format!("{}: {reason}", notification.status));
                }
                // The acknowledgement, or the box's output, is still to come.
                _ => waiting = true,
            }
        }
        match (expected, waiting) {
            (_, true) => Outcome::Waiting,
            (0, false) if self.played_earlier.contains(&id) => Outcome::Played,
            (0, false) if !record.notifications.is_empty() => Outcome::TooLate,
            (0, false) => match record.paid_at {
                Some(paid_at) if paid_at + self.window <= self.since + START_MARGIN => {
                    Outcome::TooLate
                }
                _ => Outcome::Lost("it was announced to no box".to_owned()),
            },
            (_, false) => Outcome::Played,
        }
    }

    /// The sums over decided payments.
    pub(super) fn summary(&self) -> Summary {
        let mut sum = self.closed.clone();
        for (id, payment) in &self.payments {
            self.count_in(&mut sum, *id, payment);
        }
        let mut latencies_ms = Vec::from(sum.latencies_ms);
        latencies_ms.sort_unstable();
        let middle = latencies_ms.len().saturating_sub(1) / 2;
        Summary {
            payments: sum.payments,
            played_once: sum.played_once,
            lost: sum.lost,
            repeated: sum.repeated,
            unfounded: sum.unfounded,
            p50_ms: latencies_ms.get(middle).copied(),
            max_ms: latencies_ms.last().copied(),
        }
    }

    fn count_in(&self, sum: &mut Totals, id: TransactionId, payment: &Payment) {
        match &payment.shown {
            None | Some(Outcome::Waiting | Outcome::TooLate) => return,
            Some(Outcome::Played) if self.played_earlier.contains(&id) => return,
            Some(Outcome::Played) => {
                sum.played_once += 1;
                let latency_ms = self
                    .of_these_boxes(payment.record.as_ref())
                    .filter(|notification| notification.created_at >= self.since)
                    .filter_map(latency_ms)
                    .max();
                if let Some(latency_ms) = latency_ms {
                    if sum.latencies_ms.len() >= LATENCIES_MAX {
                        sum.latencies_ms.pop_front();
                    }
                    sum.latencies_ms.push_back(latency_ms);
                }
            }
            Some(Outcome::Lost(_)) => sum.lost += 1,
            Some(Outcome::Repeated) => sum.repeated += 1,
            Some(Outcome::Unfounded(_)) => sum.unfounded += 1,
        }
        sum.payments += 1;
    }
}

/// From the payment's commit to the box's final acknowledgement, rounded to milliseconds.
pub(super) fn latency_ms(notification: &Notification) -> Option<i64> {
    Some(rounded_ms(notification.acked_at? - notification.created_at))
}

/// From the payment's commit to the box's first acknowledgement.
pub(super) fn received_ms(notification: &Notification) -> Option<i64> {
    Some(rounded_ms(
        notification.received_at? - notification.created_at,
    ))
}

fn rounded_ms(delta: TimeDelta) -> i64 {
    (delta + TimeDelta::microseconds(500)).num_milliseconds()
}

#[cfg(test)]
mod tests;
