//! What was paid and what was heard: the evidence of a run, and what each box is expected to say.

use std::collections::{HashMap, HashSet};

use tokio::time::{Duration, Instant};
use wire::{DeviceId, TerminalId, TransactionId};

/// How long a suspended box may go on: its connection is ended within a second.
const SUSPENDED_WITHIN: Duration = Duration::from_secs(1);

/// Payments of one amount, which no other payments have, at one terminal.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    /// What each of them is.
    pub(crate) amount: i64,
    /// Where.
    pub(crate) terminal: TerminalId,
    /// The transaction of a code; printed codes have none before they are paid.
    pub(crate) transaction: Option<TransactionId>,
    /// The acquirer's references: one for each payment.
    pub(crate) references: Vec<String>,
    /// When the first callback was sent.
    pub(crate) sent: Instant,
    /// When each that is answered 2xx was.
    pub(crate) answered: Vec<Instant>,
}

impl Sale {
    /// Whether all are answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.len() >= self.references.len()
    }
}

/// A box at a terminal, since then.
#[derive(Debug, Clone, Copy)]
struct Binding {
    terminal: TerminalId,
    asked: Instant,
    /// `None`: not yet answered.
    answered: Option<Instant>,
}

/// A box that was suspended.
#[derive(Debug, Clone, Copy)]
struct Suspension {
    answered: Option<Instant>,
    lifted: Option<Instant>,
}

#[derive(Debug, Default)]
struct BoxRecord {
    bindings: Vec<Binding>,
    suspensions: Vec<Suspension>,
    connected: bool,
}

/// What is expected of a box for a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expectation {
    Must,
    May,
    Never,
}

/// A box said an amount.
#[derive(Debug, Clone, Copy)]
struct Heard {
    device_id: DeviceId,
    amount: i64,
    at: Instant,
}

/// What is wrong with what was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Answered 2xx and not heard.
    pub(crate) lost: Vec<String>,
    /// Heard more than once.
    pub(crate) twice: Vec<String>,
    /// Heard, and not paid.
    pub(crate) unpaid: Vec<String>,
    /// Heard by a box of another terminal, or by one that is suspended.
    pub(crate) foreign: Vec<String>,
}

impl Wrong {
    /// All of it.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        let parts = [&self.lost, &self.twice, &self.unpaid, &self.foreign];
        parts.into_iter().flatten()
    }
}

/// The evidence.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    boxes: HashMap<DeviceId, BoxRecord>,
    sales: HashMap<i64, Sale>,
    /// The amounts of sales that are not yet judged.
    open: Vec<i64>,
    counts: HashMap<(DeviceId, i64), usize>,
    spoken: HashMap<(DeviceId, TransactionId), usize>,
    /// Not yet judged.
    heard: Vec<Heard>,
    repeated: Vec<String>,
    connected_while_suspended: Vec<String>,
    /// Sales that were heard, and may be taken back.
    reversible: Vec<i64>,
    reversed: HashSet<i64>,
}

impl Evidence {
    /// A binding is about to be asked for.
    pub(crate) fn binding_asked(&mut self, id: DeviceId, terminal: TerminalId) {
        let bindings = &mut self.boxes.entry(id).or_default().bindings;
        bindings.push(Binding {
            terminal,
            asked: Instant::now(),
            answered: None,
        });
    }

    /// The binding that was asked for holds.
    pub(crate) fn bound(&mut self, id: DeviceId) {
        let record = self.boxes.entry(id).or_default();
        if let Some(last) = record.bindings.last_mut() {
            last.answered = Some(Instant::now());
        }
    }

    /// A box is about to be suspended.
    pub(crate) fn suspension_asked(&mut self, id: DeviceId) {
        let record = self.boxes.entry(id).or_default();
        record.suspensions.push(Suspension {
            answered: None,
            lifted: None,
        });
    }

    /// The suspension was answered.
    pub(crate) fn suspended(&mut self, id: DeviceId) {
        if let Some(one) = self.last_suspension(id) {
            one.answered = Some(Instant::now());
        }
    }

    /// The box is about to be active again.
    pub(crate) fn lifting(&mut self, id: DeviceId) {
        if let Some(one) = self.last_suspension(id) {
            one.lifted = Some(Instant::now());
        }
    }

    fn last_suspension(&mut self, id: DeviceId) -> Option<&mut Suspension> {
        self.boxes.get_mut(&id)?.suspensions.last_mut()
    }

    /// A box is connected, or not.
    pub(crate) fn connected(&mut self, id: DeviceId, connected: bool) {
        let record = self.boxes.entry(id).or_default();
        record.connected = connected;
        let last = record.suspensions.last();
        let shut_out = last.is_some_and(|one| {
            let since = one.answered.map(|answered| answered + SUSPENDED_WITHIN);
            one.lifted.is_none() && since.is_some_and(|since| Instant::now() > since)
        });
        if connected && shut_out {
            self.connected_while_suspended
                .push(format!("{id} connected while it was suspended"));
        }
    }

    /// Where a box stands, as far as is known.
    pub(crate) fn terminal_of(&self, id: DeviceId) -> Option<TerminalId> {
        let bindings = &self.boxes.get(&id)?.bindings;
        bindings.last().map(|last| last.terminal)
    }

    /// How many boxes are not connected, without those that are suspended.
    pub(crate) fn away(&self) -> usize {
        let suspended = |record: &BoxRecord| {
            let last = record.suspensions.last();
            last.is_some_and(|one| one.lifted.is_none())
        };
        let boxes = self.boxes.values();
        boxes
            .filter(|record| !record.connected && !suspended(record))
            .count()
    }

    /// A customer is about to pay.
    pub(crate) fn sale(
        &mut self,
        amount: i64,
        terminal: TerminalId,
        transaction: Option<TransactionId>,
        references: Vec<String>,
    ) {
        let sale = Sale {
            amount,
            terminal,
            transaction,
            references,
            sent: Instant::now(),
            answered: Vec::new(),
        };
        self.sales.insert(amount, sale);
        self.open.push(amount);
    }

    /// A callback of the sale was answered 2xx for the first time.
    pub(crate) fn answered(&mut self, amount: i64) {
        if let Some(sale) = self.sales.get_mut(&amount) {
            sale.answered.push(Instant::now());
        }
    }

    /// No answer is expected any more: the callback was refused, and it is not known whether an earlier one was taken.
    pub(crate) fn give_up(&mut self, amount: i64) {
        self.open.retain(|open| *open != amount);
    }

    /// A box said an amount; of which transaction, if it knows.
    pub(crate) fn said(
        &mut self,
        device_id: DeviceId,
        amount: i64,
        transaction: Option<TransactionId>,
    ) {
        *self.counts.entry((device_id, amount)).or_default() += 1;
        self.heard.push(Heard {
            device_id,
            amount,
            at: Instant::now(),
        });
        if let Some(id) = transaction {
            let times = self.spoken.entry((device_id, id)).or_default();
            *times += 1;
            if *times == 2 {
                self.repeated
                    .push(format!("{device_id} said {id} twice (Rp{amount})"));
            }
        }
    }

    /// A sale that was heard everywhere and may be taken back; which one, the number decides.
    pub(crate) fn take_reversible(&mut self, number: usize) -> Option<Sale> {
        if self.reversible.is_empty() {
            return None;
        }
        let amount = self.reversible.swap_remove(number % self.reversible.len());
        self.reversed.insert(amount);
        self.sales.get(&amount).cloned()
    }

    /// What every reference was paid, whether it was taken back, and which of them are answered.
    pub(crate) fn sales(&self) -> impl Iterator<Item = (&Sale, bool)> {
        let sales = self.sales.values();
        sales.map(|sale| (sale, self.reversed.contains(&sale.amount)))
    }

    /// Sales without an answer, and those that a box still has to say.
    pub(crate) fn outstanding(&self) -> (usize, usize) {
        let open = || self.open.iter().filter_map(|amount| self.sales.get(amount));
        let unanswered = open().filter(|sale| !sale.is_answered()).count();
        let unheard = open()
            .filter(|sale| !self.still_to_say(sale).is_empty())
            .count();
        (unanswered, unheard)
    }

    fn still_to_say(&self, sale: &Sale) -> Vec<DeviceId> {
        let is_expected = |(id, record): &(&DeviceId, &BoxRecord)| {
            let said = self.counts.get(&(**id, sale.amount)).copied();
            expectation(sale, record) == Expectation::Must
                && said.unwrap_or(0) < sale.answered.len()
        };
        let boxes = self.boxes.iter().filter(is_expected);
        boxes.map(|(id, _)| *id).collect()
    }

    /// Judges what happened since the last time.
    pub(crate) fn judge(&mut self) -> Wrong {
        let mut wrong = Wrong {
            twice: std::mem::take(&mut self.repeated),
            foreign: std::mem::take(&mut self.connected_while_suspended),
            ..Wrong::default()
        };
        for amount in std::mem::take(&mut self.open) {
            let Some(sale) = self.sales.get(&amount) else {
                continue;
            };
            let still_to_say = self.still_to_say(sale);
            if still_to_say.is_empty() && sale.is_answered() && sale.references.len() == 1 {
                self.reversible.push(amount);
            }
            for id in still_to_say {
                let references = sale.references.join(", ");
                wrong
                    .lost
                    .push(format!("{id} did not say Rp{amount} ({references})"));
            }
        }
        let mut judged = HashSet::new();
        for heard in std::mem::take(&mut self.heard) {
            if judged.insert((heard.device_id, heard.amount)) {
                self.judge_one(&heard, &mut wrong);
            }
        }
        wrong
    }

    fn judge_one(&self, heard: &Heard, wrong: &mut Wrong) {
        let Heard {
            device_id,
            amount,
            at,
        } = heard;
        let (Some(sale), Some(record)) = (self.sales.get(amount), self.boxes.get(device_id)) else {
            wrong
                .unpaid
                .push(format!("{device_id} said Rp{amount}, which nobody paid"));
            return;
        };
        let times = self.counts.get(&(*device_id, *amount)).copied();
        if times.unwrap_or(0) > sale.references.len() {
            wrong
                .twice
                .push(format!("{device_id} said Rp{amount} {times:?} times"));
        }
        if expectation(sale, record) == Expectation::Never {
            wrong
                .foreign
                .push(format!("{device_id} said Rp{amount} of another terminal"));
        }
        let silent = |one: &&Suspension| {
            let since = one.answered.map(|answered| answered + SUSPENDED_WITHIN);
            since.is_some_and(|since| *at > since) && one.lifted.is_none_or(|lifted| *at < lifted)
        };
        if record.suspensions.iter().any(|one| silent(&one)) {
            wrong.foreign.push(format!(
                "{device_id} said Rp{amount} while it was suspended"
            ));
        }
    }
}

/// Between the request for a binding and its answer nobody outside knows whether it holds.
fn expectation(sale: &Sale, record: &BoxRecord) -> Expectation {
    let until = sale.answered.last().copied();
    let mut expectation = Expectation::Never;
    for (place, binding) in record.bindings.iter().enumerate() {
        if binding.terminal != sale.terminal {
            continue;
        }
        let next = record.bindings.get(place + 1);
        let begins_after = until.is_some_and(|until| binding.asked > until);
        let ended_before = next
            .and_then(|next| next.answered)
            .is_some_and(|answered| answered < sale.sent);
        if begins_after || ended_before {
            continue;
        }
        let held_before = binding.answered.is_some_and(|at| at <= sale.sent);
        if held_before && next.is_none() {
            return if was_suspended(sale, record) {
                Expectation::May
            } else {
                Expectation::Must
            };
        }
        expectation = Expectation::May;
    }
    expectation
}

/// Whether the box was suspended at any time since the sale.
fn was_suspended(sale: &Sale, record: &BoxRecord) -> bool {
    let touches = |one: &Suspension| one.lifted.is_none_or(|lifted| lifted > sale.sent);
    record.suspensions.iter().any(touches)
}
