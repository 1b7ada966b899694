//! The join that decides whether every payment was played exactly once.
//!
//! Three witnesses: the acquirer (a payment was accepted), the boxes (a sentence was said, and when the boxes' files
//! go back to an earlier start, then also there), and the platform's own record (what was to be announced where, and
//! what the box answered). A payment is played when its record says so for every box of this start that stands at its
//! terminal, and each of them said each of its announcements once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use wire::{DeviceId, EventId, Rupiah, TransactionId};

use super::api::{Notification, Transaction};
use super::line::Spoken;

/// A box that has just been started needs a moment to hear an announcement that is about to end.
const HEARING_TIME: TimeDelta = TimeDelta::seconds(10);
/// Between two looks at the record of a payment that is not played yet.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Payments that are remembered one by one; a demonstration may run for weeks.
const PAYMENTS_MAX: usize = 5_000;
/// Latencies that the median is taken of.
const LATENCIES_MAX: usize = 100_000;

/// What a payment has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not yet decided.
    Waiting,
    /// Said once by every box at its terminal, and answered.
    Played,
    /// Said more than once.
    Repeated,
    /// Said although it was not paid, or with another amount.
    Unfounded(&'static str),
    /// Not said, and nothing will change that.
    Lost(String),
    /// Paid, but so long ago that by contract nobody says it any more.
    TooLate,
}

/// One sentence as often as one box said it.
#[derive(Debug)]
struct Plays {
    count: u32,
    amount: Rupiah,
    text: String,
}

#[derive(Debug)]
struct Payment {
    /// Accepted from our acquirer, after this many milliseconds.
    callback_ms: Option<u64>,
    record: Option<Transaction>,
    /// What was said of it in this start.
    heard: BTreeSet<(EventId, DeviceId)>,
    /// Something was said since the record was looked up.
    is_record_old: bool,
    /// Its line is printed.
    shown: Option<Outcome>,
    next_look: Instant,
    wait: Duration,
}

/// What is to be shown of a payment.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: TransactionId,
    pub(super) outcome: Outcome,
    pub(super) callback_ms: Option<u64>,
    pub(super) record: Option<&'a Transaction>,
    /// The announcements to boxes of this start, each with how often it was said.
    pub(super) announcements: Vec<(&'a Notification, u32)>,
    /// What was said.
    pub(super) text: Option<&'a str>,
}

/// The sum of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) payments: usize,
    pub(super) played_once: usize,
    pub(super) lost: usize,
    pub(super) repeated: usize,
    pub(super) unfounded: usize,
    /// From the callback to the box's answer, of payments made in this start.
    pub(super) p50_ms: Option<i64>,
    pub(super) max_ms: Option<i64>,
}

impl Summary {
    /// Whether every payment was played exactly once.
    pub(super) fn is_clean(&self) -> bool {
        self.played_once == self.payments
    }
}

/// All payments of this start.
pub(super) struct Book {
    boxes: HashSet<DeviceId>,
    /// When this start was ready.
    since: DateTime<Utc>,
    /// How long a payment is announced.
    window: TimeDelta,
    /// Payments that an earlier start has shown as played.
    done_before: HashSet<TransactionId>,
    plays: HashMap<(EventId, DeviceId), Plays>,
    payments: BTreeMap<TransactionId, Payment>,
    /// Those of them that are not decided, or of which something was heard since.
    unsettled: BTreeSet<TransactionId>,
    /// The sum of payments that were refused for good, or forgotten since they were decided.
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

impl Book {
    /// An empty book for these boxes.
    pub(super) fn new(
        boxes: impl IntoIterator<Item = DeviceId>,
        since: DateTime<Utc>,
        window: TimeDelta,
        done_before: HashSet<TransactionId>,
    ) -> Self {
        Self {
            boxes: boxes.into_iter().collect(),
            since,
            window,
            done_before,
            plays: HashMap::new(),
            payments: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            closed: Totals::default(),
        }
    }

    /// A sentence in the files of an earlier start.
    pub(super) fn heard_before(&mut self, spoken: Spoken) {
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

    /// A sentence.
    pub(super) fn heard(&mut self, spoken: Spoken, now: Instant) {
        let id = spoken.transaction_id;
        let key = (spoken.event_id, spoken.device_id);
        self.heard_before(spoken);
        let payment = self.payment(id, now);
        payment.heard.insert(key);
        payment.is_record_old = true;
        // The box answers in a moment.
        payment.wait = LOOK_MIN;
        payment.next_look = now + LOOK_MIN;
    }

    /// A payment that an earlier start heard and had no time to show.
    pub(super) fn told_late(&mut self, id: TransactionId, now: Instant) {
        self.payment(id, now);
    }

    /// A payment that the platform took from the acquirer.
    pub(super) fn accepted(&mut self, id: TransactionId, callback_ms: u64, now: Instant) {
        self.payment(id, now).callback_ms = Some(callback_ms);
    }

    /// A payment that the platform refused.
    pub(super) fn rejected(&mut self) {
        self.closed.payments += 1;
        self.closed.lost += 1;
    }

    /// An announcement that an earlier start owes.
    pub(super) fn owed(&mut self, announcement: &Notification, now: Instant) {
        let open = matches!(
            announcement.status.as_str(),
            "pending" | "sent" | "received"
        );
        if open && self.is_expected(announcement) {
            self.payment(announcement.transaction_id, now);
        }
    }

    fn payment(&mut self, id: TransactionId, now: Instant) -> &mut Payment {
        self.unsettled.insert(id);
        self.payments.entry(id).or_insert(Payment {
            callback_ms: None,
            record: None,
            heard: BTreeSet::new(),
            is_record_old: false,
            shown: None,
            next_look: now + LOOK_MIN,
            wait: LOOK_MIN,
        })
    }

    /// Up to `limit` payments whose record is to be looked at by `now`.
    pub(super) fn to_look_at(&self, limit: usize, now: Instant) -> Vec<TransactionId> {
        let mut due: Vec<_> = self
            .unsettled
            .iter()
            .filter_map(|id| Some((self.payments.get(id)?.next_look, *id)))
            .filter(|(next_look, _)| *next_look <= now)
            .collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(_, id)| id).collect()
    }

    /// The record of a payment; none when the platform knows no such payment or does not answer.
    pub(super) fn learned(&mut self, id: TransactionId, record: Option<Transaction>, now: Instant) {
        if let Some(payment) = self.payments.get_mut(&id) {
            if record.is_some() {
                payment.record = record;
                payment.is_record_old = false;
            }
            payment.next_look = now + payment.wait;
            payment.wait = (payment.wait * 2).min(LOOK_MAX);
        }
    }

    /// Whether a payment is not decided yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The payments that have been decided since the last call; at the `end`, all that are left.
    pub(super) fn take_decided(&mut self, end: bool) -> Vec<Entry<'_>> {
        self.forget();
        let mut fresh = Vec::new();
        for id in self.unsettled.clone() {
            let Some(payment) = self.payments.get(&id) else {
                continue;
            };
            let outcome = match self.outcome(id, payment) {
                Outcome::Waiting if !end => continue,
                Outcome::Waiting => Outcome::Lost("it was not played in time".to_owned()),
                outcome => outcome,
            };
            self.unsettled.remove(&id);
            let again = outcome == Outcome::Played && self.done_before.contains(&id);
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

    /// Folds the oldest decided payments into their sum when there are too many.
    fn forget(&mut self) {
        if self.payments.len() <= PAYMENTS_MAX {
            return;
        }
        let old: Vec<_> = self
            .payments
            .keys()
            .filter(|id| !self.unsettled.contains(id))
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
        let announcements: Vec<_> = self
            .of_our_boxes(record)
            .map(|announcement| (announcement, self.count(announcement)))
            .collect();
        let text = announcements.iter().find_map(|(announcement, _)| {
            let key = (announcement.event_id, announcement.device_id);
            self.plays.get(&key).map(|plays| plays.text.as_str())
        });
        Some(Entry {
            id,
            outcome: payment.shown.clone()?,
            callback_ms: payment.callback_ms,
            record,
            announcements,
            text,
        })
    }

    fn of_our_boxes<'a>(
        &'a self,
        record: Option<&'a Transaction>,
    ) -> impl Iterator<Item = &'a Notification> {
        record
            .into_iter()
            .flat_map(|record| &record.notifications)
            .filter(|announcement| self.boxes.contains(&announcement.device_id))
    }

    fn count(&self, announcement: &Notification) -> u32 {
        self.plays
            .get(&(announcement.event_id, announcement.device_id))
            .map_or(0, |plays| plays.count)
    }

    /// Whether a box of this start can be expected to say it, or to have said it.
    fn is_expected(&self, announcement: &Notification) -> bool {
        self.boxes.contains(&announcement.device_id)
            && announcement.announce_until > self.since + HEARING_TIME
    }

    fn outcome(&self, id: TransactionId, payment: &Payment) -> Outcome {
        let Some(record) = &payment.record else {
            return Outcome::Waiting;
        };
        if payment.is_record_old {
            return Outcome::Waiting;
        }
        for key in &payment.heard {
            let mut announced = record.notifications.iter();
            if !announced.any(|one| (one.event_id, one.device_id) == *key) {
                return Outcome::Unfounded("it was not announced");
            }
        }
        for announcement in self.of_our_boxes(Some(record)) {
            let key = (announcement.event_id, announcement.device_id);
            match self.plays.get(&key) {
                Some(plays) if plays.count > 1 => return Outcome::Repeated,
                Some(plays) if plays.amount != record.amount => {
                    return Outcome::Unfounded("another amount was said");
                }
                _ => {}
            }
        }
        if !matches!(record.status.as_str(), "paid" | "reversed") {
            return match payment.heard.is_empty() {
                true => Outcome::Waiting,
                false => Outcome::Unfounded("it was not paid"),
            };
        }
        let mut expected = 0;
        let mut waiting = false;
        for announcement in self.of_our_boxes(Some(record)) {
            if !self.is_expected(announcement) && self.count(announcement) == 0 {
                continue;
            }
            expected += 1;
            match (announcement.status.as_str(), self.count(announcement)) {
                ("played", 1) => {}
                ("failed" | "stale", _) => {
                    let reason = announcement.reason.as_deref().unwrap_or("no reason given");
                    return Outcome::Lost(format!("{}: {reason}", announcement.status));
                }
                // The answer, or the line, is on its way.
                _ => waiting = true,
            }
        }
        match (expected, waiting) {
            (_, true) => Outcome::Waiting,
            (0, false) if self.done_before.contains(&id) => Outcome::Played,
            (0, false) if !record.notifications.is_empty() => Outcome::TooLate,
            (0, false) => match record.paid_at {
                Some(paid_at) if paid_at + self.window <= self.since + HEARING_TIME => {
                    Outcome::TooLate
                }
                _ => Outcome::Lost("it was announced to no box".to_owned()),
            },
            (_, false) => Outcome::Played,
        }
    }

    /// The sum of what is decided.
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
            Some(Outcome::Played) if self.done_before.contains(&id) => return,
            Some(Outcome::Played) => {
                sum.played_once += 1;
                let latency_ms = self
                    .of_our_boxes(payment.record.as_ref())
                    .filter(|announcement| announcement.created_at >= self.since)
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

/// From the payment's commit to the box's final answer, rounded to milliseconds.
pub(super) fn latency_ms(announcement: &Notification) -> Option<i64> {
    Some(rounded_ms(announcement.acked_at? - announcement.created_at))
}

/// From the payment's commit to the box's first answer.
pub(super) fn received_ms(announcement: &Notification) -> Option<i64> {
    Some(rounded_ms(
        announcement.received_at? - announcement.created_at,
    ))
}

fn rounded_ms(delta: TimeDelta) -> i64 {
    (delta + TimeDelta::microseconds(500)).num_milliseconds()
}

#[cfg(test)]
mod tests;
