//! `acquirer`: simulated customers, and an acquirer that reports every payment until it is accepted.
//!
//! At every interval a box requests a QR, a customer pays it, and the callback is posted with the same event id and
//! reference until the server accepts it. A payment is written to the journal before its first callback, so that a
//! restart of this program or of the server does not lose it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use certs::durable_file;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::{Rupiah, TransactionId};

use crate::api::Api;
use crate::callback_faults::CallbackFaults;
use crate::clock;
use crate::credentials::Credentials;
use crate::output::Output;
use crate::partner::{Callback, Partner, Target};
use crate::qr;

/// The time limit for the current payment after a signal; afterwards it stays in the journal.
const FINISH_MAX: Duration = Duration::from_secs(10);

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The amounts, in rupiah.
const AMOUNTS: [i64; 12] = [
    1_500, 5_000, 8_500, 11_000, 12_000, 15_000, 25_000, 37_500, 50_000, 101_000, 250_000,
    1_250_000,
];

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum JournalEntry {
    Paid { callback: Box<Callback> },
    Settled { partner_reference: String },
}

/// Payments that are not accepted yet.
struct Pending {
    file: Option<File>,
    open: BTreeMap<String, Callback>,
}

impl Pending {
    /// Reads the journal, or creates one; without a path nothing is stored.
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                open: BTreeMap::new(),
            });
        };
        let open = read(path).with_context(|| path.display().to_string())?;
        // The file is rewritten with the open payments only.
        let mut lines = Vec::new();
        for callback in open.values() {
            let callback = Box::new(callback.clone());
            lines.extend(line(&JournalEntry::Paid { callback })?);
        }
        durable_file::replace(path, &lines, 0o600).with_context(|| path.display().to_string())?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            file: Some(file),
            open,
        })
    }

    fn paid(&mut self, callback: &Callback) -> io::Result<()> {
        self.write(&JournalEntry::Paid {
            callback: Box::new(callback.clone()),
        })?;
        self.open
            .insert(callback.partner_reference.clone(), callback.clone());
        Ok(())
    }

    fn settled(&mut self, partner_reference: &str) -> io::Result<()> {
        self.write(&JournalEntry::Settled {
            partner_reference: partner_reference.to_owned(),
        })?;
        self.open.remove(partner_reference);
        Ok(())
    }

    fn write(&mut self, entry: &JournalEntry) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(&line(entry)?)?;
        file.sync_data()
    }
}

fn line(entry: &JournalEntry) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(entry)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Callback>> {
    let mut open = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(open),
        Err(error) => return Err(error),
    };
    let lines: Vec<Vec<u8>> = BufReader::new(file)
        .split(b'\n')
        .collect::<io::Result<_>>()?;
    let count = lines.len();
    for (index, bytes) in lines.into_iter().enumerate() {
        match serde_json::from_slice(&bytes) {
            Ok(JournalEntry::Paid { callback }) => {
                open.insert(callback.partner_reference.clone(), *callback);
            }
            Ok(JournalEntry::Settled { partner_reference }) => {
                open.remove(&partner_reference);
            }
            // The payment of a torn line was never reported.
            Err(_) if index + 1 == count => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Paid {
        transaction_id: Option<TransactionId>,
        partner_reference: &'a str,
        amount: Rupiah,
        accepted_at: String,
        callback_ms: u64,
        attempts: u32,
    },
    Retrying {
        partner_reference: &'a str,
        attempts: u32,
        problem: String,
    },
    Rejected {
        partner_reference: &'a str,
        problem: String,
    },
    NoQr {
        device_id: wire::DeviceId,
        problem: String,
    },
}

/// The result of reporting a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    Settled,
    Unfinished,
}

/// An acquirer and its customers.
pub struct Acquirer {
    /// Sends the callbacks.
    pub partner: Partner,
    /// The server, for the boxes' code requests.
    pub api: Api,
    /// The boxes whose codes are paid.
    pub boxes: Vec<Credentials>,
    /// The time between payments.
    pub every: Duration,
    /// The faults of the callbacks.
    pub faults: CallbackFaults,
    /// Seeds the choice of boxes and amounts.
    pub seed: u64,
    /// Where unaccepted payments are stored.
    pub journal: Option<PathBuf>,
    /// Standard output.
    pub output: Output,
}

impl Acquirer {
    /// Pays until `stop`. Unaccepted payments of an earlier run come first.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        anyhow::ensure!(!self.boxes.is_empty(), "there is no provisioned box");
        let mut pending = Pending::open(self.journal.as_deref())?;
        for callback in pending.open.clone().into_values() {
            if self.report(&callback, &mut pending, &stop).await? == Reported::Unfinished {
                return Ok(());
            }
        }
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut held: Vec<(Instant, Callback)> = Vec::new();
        let mut number = 0;
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let credentials = &self.boxes[random.random_range(0..self.boxes.len())];
            let amount = Rupiah::from_i64(AMOUNTS[random.random_range(0..AMOUNTS.len())]);
            let scanned = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                scanned = qr::by_http(&self.api, credentials, amount) => scanned,
            };
            let qr = match scanned {
                Ok(qr) => qr,
                Err(error) => {
                    let device_id = credentials.device.device_id;
                    let event = OutputEvent::NoQr {
                        device_id,
                        problem: error.to_string(),
                    };
                    self.output
                        .emit(&event, || format!("{device_id} got no QR: {error}"));
                    continue;
                }
            };
            let callback = Callback::new(
                Target::Transaction(qr.transaction_id),
                amount,
                "success",
                clock::now(),
            );
            number += 1;
            for planned in self.faults.plan(self.seed, number) {
                let amount = Rupiah::from_i64(amount.to_i64() + planned.amount_off_by);
                let reported = Callback {
                    amount,
                    ..callback.clone()
                };
                held.push((Instant::now() + planned.after, reported));
            }
            let now = Instant::now();
            held.sort_by_key(|(due, _)| *due);
            let later = held.split_off(held.partition_point(|(due, _)| *due <= now));
            for (_, callback) in std::mem::replace(&mut held, later) {
                pending
                    .paid(&callback)
                    .context("the journal cannot be written")?;
                if self.report(&callback, &mut pending, &stop).await? == Reported::Unfinished {
                    return Ok(());
                }
            }
        }
    }

    /// Posts until the callback is accepted, or refused for good. After `stop` it continues for ten seconds.
    async fn report(
        &self,
        callback: &Callback,
        pending: &mut Pending,
        stop: &CancellationToken,
    ) -> anyhow::Result<Reported> {
        let finish = async {
            stop.cancelled().await;
            tokio::time::sleep(FINISH_MAX).await;
        };
        tokio::pin!(finish);
        let reference = callback.partner_reference.as_str();
        let mut wait = RETRY_MIN;
        for attempts in 1.. {
            let posted = tokio::select! {
                posted = self.partner.post(callback) => posted,
                () = &mut finish => return Ok(Reported::Unfinished),
            };
            match posted {
                Ok(accepted) => {
                    let event = OutputEvent::Paid {
                        transaction_id: callback.transaction_id,
                        partner_reference: reference,
                        amount: callback.amount,
                        accepted_at: wire::time::format(accepted.accepted_at),
                        callback_ms: accepted.callback_ms,
                        attempts,
                    };
                    self.output.emit(&event, || {
                        format!(
                            "paid Rp {}  {reference}  accepted after {} ms",
                            callback.amount, accepted.callback_ms
                        )
                    });
                    break;
                }
                Err(error) if error.is_temporary() => {
                    let event = OutputEvent::Retrying {
                        partner_reference: reference,
                        attempts,
                        problem: error.to_string(),
                    };
                    self.output.emit(&event, || {
                        format!("{reference} is not accepted yet: {error}")
                    });
                }
                Err(error) => {
                    let event = OutputEvent::Rejected {
                        partner_reference: reference,
                        problem: error.to_string(),
                    };
                    self.output
                        .emit(&event, || format!("{reference} is rejected: {error}"));
                    break;
                }
            }
            let until = Instant::now() + rand::random_range(wait / 2..=wait);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = &mut finish => return Ok(Reported::Unfinished),
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        pending
            .settled(reference)
            .context("the journal cannot be written")?;
        Ok(Reported::Settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(number: i64) -> Callback {
        let target = Target::Static {
            nmid: "ID1020000000001".to_owned(),
            terminal_label: None,
        };
        Callback::new(target, Rupiah::from_i64(number), "success", clock::now())
    }

    #[test]
    fn payments_that_were_not_accepted_are_open_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acquirer.jsonl");
        let (first, second) = (callback(1_000), callback(2_000));
        let mut pending = Pending::open(Some(&path)).unwrap();
        pending.paid(&first).unwrap();
        pending.paid(&second).unwrap();
        pending.settled(&first.partner_reference).unwrap();
        drop(pending);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"pa").unwrap();
        for _ in 0..2 {
            let pending = Pending::open(Some(&path)).unwrap();
            assert_eq!(
                pending.open.values().collect::<Vec<_>>(),
                [&second],
                "with the same ids"
            );
        }
    }

    #[test]
    fn without_a_journal_nothing_is_stored() {
        let mut pending = Pending::open(None).unwrap();
        pending.paid(&callback(1)).unwrap();
        assert_eq!(pending.open.len(), 1);
    }
}
