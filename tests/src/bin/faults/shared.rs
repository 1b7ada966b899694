//! What everything in a run shares: the evidence, the clients, what went wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use device_sim::report::{Event, Report};
use device_sim::session::Control;
use tests::acquirer::Acquirer;
use tests::api::Api;
use tokio::sync::{Notify, mpsc};
use wire::{DeviceId, TerminalId, TransactionId};

use crate::code;
use crate::evidence::Evidence;

/// The first amount. Each payment has one of its own, so that a spoken amount says which it is.
const AMOUNT_FIRST: i64 = 1_000;

/// A terminal with its printed code.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Which.
    pub(crate) id: TerminalId,
    /// The merchant.
    pub(crate) nmid: String,
    /// In the printed code.
    pub(crate) label: String,
}

/// A box as the outside world sees it.
#[derive(Clone)]
pub(crate) struct ListeningBox {
    /// Which box.
    pub(crate) device_id: DeviceId,
    /// Where it stands.
    pub(crate) place: Place,
    /// Where it is controlled.
    pub(crate) controls: mpsc::Sender<Control>,
    /// Its token, by which it requests codes; boxes of other makers have none.
    pub(crate) token: Option<String>,
    /// Whether it is connected by MQTT.
    pub(crate) is_mqtt: bool,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests that were sent again.
    pub(crate) repeated: AtomicU64,
    /// Codes that were read.
    pub(crate) codes: AtomicU64,
    /// Callbacks that had to be refused, and were.
    pub(crate) refused: AtomicU64,
    /// Commands and configurations.
    pub(crate) commands: AtomicU64,
    /// Boxes that moved to another merchant.
    pub(crate) rebinds: AtomicU64,
    /// Boxes that were suspended and activated again.
    pub(crate) suspensions: AtomicU64,
    /// Runs of settlements.
    pub(crate) settlements: AtomicU64,
}

/// What is shared.
pub(crate) struct Shared {
    evidence: Mutex<Evidence>,
    codes: Mutex<HashMap<i64, TransactionId>>,
    /// A code has arrived.
    pub(crate) code_came: Notify,
    problems: Mutex<Vec<String>>,
    amount: AtomicI64,
    /// The acquirer, by each node.
    pub(crate) acquirers: Vec<Acquirer>,
    /// An administrator, by each node.
    pub(crate) admins: Vec<Api>,
    /// What is counted.
    pub(crate) counters: Counters,
}

impl Shared {
    /// An empty one.
    pub(crate) fn new(acquirers: Vec<Acquirer>, admins: Vec<Api>) -> Self {
        Self {
            evidence: Mutex::default(),
            codes: Mutex::default(),
            code_came: Notify::new(),
            problems: Mutex::default(),
            amount: AtomicI64::new(AMOUNT_FIRST),
            acquirers,
            admins,
            counters: Counters::default(),
        }
    }

    /// The evidence.
    pub(crate) fn evidence(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An amount that no other payment has.
    pub(crate) fn new_amount(&self) -> i64 {
        self.amount.fetch_add(1, Ordering::Relaxed)
    }

    /// Something is not as it must be.
    pub(crate) fn problem(&self, problem: String) {
        self.problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(problem);
    }

    /// What was not as it must be since the last time.
    pub(crate) fn take_problems(&self) -> Vec<String> {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *problems)
    }

    /// The transaction of the code with this amount, once the box has it.
    pub(crate) fn code(&self, amount: i64) -> Option<TransactionId> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.get(&amount).copied()
    }

    /// Checks the text of a code.
    pub(crate) fn check_code(&self, payload: &str, amount: i64) {
        self.counters.codes.fetch_add(1, Ordering::Relaxed);
        if let Err(problem) = code::check(payload, amount) {
            self.problem(format!("a code of Rp{amount}: {problem}: {payload}"));
        }
    }

    /// Takes what a box reports.
    pub(crate) fn report(&self, report: &Report) {
        let id = report.device_id;
        match &report.event {
            Event::Spoken {
                transaction_id,
                amount,
                text,
                ..
            } => {
                let amount = amount.to_i64();
                if !text.contains("rupiah") {
                    self.problem(format!("{id} said {text:?} for Rp{amount}"));
                }
                self.evidence().said(id, amount, Some(*transaction_id));
            }
            Event::Announced {
                amount: Some(amount),
                ..
            } => self.evidence().said(id, amount.to_i64(), None),
            Event::Connected { .. } => self.evidence().connected(id, true),
            Event::Disconnected { .. } | Event::Started { .. } | Event::Stopped { .. } => {
                self.evidence().connected(id, false);
            }
            Event::Qr {
                transaction_id: Some(transaction),
                qr_payload: Some(payload),
                amount: Some(amount),
                ..
            } => {
                let amount = amount.to_i64();
                self.check_code(payload, amount);
                let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
                codes.insert(amount, *transaction);
                drop(codes);
                self.code_came.notify_waiters();
            }
            // The answer to a status whose connection has ended meanwhile.
            Event::Refused { reason, .. } if reason.contains("last nonce") => {}
            Event::Refused { topic, reason } => {
                self.problem(format!("{id} refused a message on {topic}: {reason}"));
            }
            _ => {}
        }
    }
}
