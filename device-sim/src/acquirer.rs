//! `acquirer`: customers who scan and pay, and an acquirer who reports every payment until it is accepted.
//!
//! Every interval a box asks for a QR, a customer pays it, and the callback is posted, again and again with the same
//! event id and reference, until the server takes it. A payment that has been made is written into the journal before
//! the first callback, so that neither this program's end nor the server's loses it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::{Rupiah, TransactionId};

use crate::api::Api;
use crate::clock;
use crate::credentials::Credentials;
use crate::faults::Faults;
use crate::output::Output;
use crate::partner::{Callback, Partner, Target};
use crate::qr;

/// After a signal, the payment in hand may take so long; then it stays in the journal.
const FINISH_MAX: Duration = Duration::from_secs(10);

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What customers buy.
const AMOUNTS: [i64; 12] = [
    1_500, 5_000, 8_500, 11_000, 12_000, 15_000, 25_000, 37_500, 50_000, 101_000, 250_000,
    1_250_000,
];

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Entry {
    Paid { callback: Box<Callback> },
    Settled { partner_reference: String },
}

/// Payments that were made and not yet accepted.
struct Pending {
    file: Option<File>,
    open: BTreeMap<String, Callback>,
}

impl Pending {
    /// Reads the journal, or begins one; without a path nothing is kept.
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                open: BTreeMap::new(),
            });
        };
        let open = read(path).with_context(|| path.display().to_string())?;
        // Only what is open matters: the file starts anew with that.
        let temporary: PathBuf = path.with_extension("tmp");
        let mut file = File::create(&temporary).with_context(|| temporary.display().to_string())?;
        for callback in open.values() {
            write_line(
                &mut file,
                &Entry::Paid {
                    callback: Box::new(callback.clone()),
                },
            )?;
        }
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            file: Some(file),
            open,
        })
    }

    fn paid(&mut self, callback: &Callback) -> io::Result<()> {
        self.write(&Entry::Paid {
            callback: Box::new(callback.clone()),
        })?;
        self.open
            .insert(callback.partner_reference.clone(), callback.clone());
        Ok(())
    }

    fn settled(&mut self, partner_reference: &str) -> io::Result<()> {
        self.write(&Entry::Settled {
            partner_reference: partner_reference.to_owned(),
        })?;
        self.open.remove(partner_reference);
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        write_line(file, entry)?;
        file.sync_data()
    }
}

fn write_line(file: &mut File, entry: &Entry) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(entry)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
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
            Ok(Entry::Paid { callback }) => {
                open.insert(callback.partner_reference.clone(), *callback);
            }
            Ok(Entry::Settled { partner_reference }) => {
                open.remove(&partner_reference);
            }
            // A line that was torn belongs to a payment that was never reported.
            Err(_) if index + 1 == count => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
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

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Settled,
    Unfinished,
}

/// An acquirer and its customers.
pub struct Acquirer {
    /// Who reports.
    pub partner: Partner,
    /// The server, for the boxes' requests.
    pub api: Api,
    /// Whose QRs are scanned.
    pub boxes: Vec<Credentials>,
    /// Time between payments.
    pub every: Duration,
    /// What goes wrong on the way to the server.
    pub faults: Faults,
    /// Which box and which amount come next; the same seed makes the same choices.
    pub seed: u64,
    /// Where payments are remembered.
    pub journal: Option<PathBuf>,
    /// Where it prints.
    pub output: Output,
}

impl Acquirer {
    /// Pays until `stop`; first it finishes what an earlier run left.
    ///
    /// # Errors
    /// A journal that cannot be used, or no boxes.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        anyhow::ensure!(!self.boxes.is_empty(), "there is no provisioned box");
        let mut pending = Pending::open(self.journal.as_deref())?;
        for callback in pending.open.clone().into_values() {
            if self.report(&callback, &mut pending, &stop).await? == End::Unfinished {
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
                    let line = Line::NoQr {
                        device_id,
                        problem: error.to_string(),
                    };
                    self.output
                        .say(&line, || format!("{device_id} got no QR: {error}"));
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
            for notice in self.faults.plan(self.seed, number) {
                let amount = Rupiah::from_i64(amount.to_i64() + notice.amount_off_by);
                let told = Callback {
                    amount,
                    ..callback.clone()
                };
                held.push((Instant::now() + notice.after, told));
            }
            let now = Instant::now();
            held.sort_by_key(|(due, _)| *due);
            let later = held.split_off(held.partition_point(|(due, _)| *due <= now));
            for (_, callback) in std::mem::replace(&mut held, later) {
                pending
                    .paid(&callback)
                    .context("the journal cannot be written")?;
                if self.report(&callback, &mut pending, &stop).await? == End::Unfinished {
                    return Ok(());
                }
            }
        }
    }

    /// Posts until it is accepted, or refused for good. After `stop` it goes on for ten seconds.
    async fn report(
        &self,
        callback: &Callback,
        pending: &mut Pending,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
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
                () = &mut finish => return Ok(End::Unfinished),
            };
            match posted {
                Ok(accepted) => {
                    let line = Line::Paid {
                        transaction_id: callback.transaction_id,
                        partner_reference: reference,
                        amount: callback.amount,
                        accepted_at: wire::time::format(accepted.accepted_at),
                        callback_ms: accepted.callback_ms,
                        attempts,
                    };
                    self.output.say(&line, || {
                        format!(
                            "paid Rp {}  {reference}  accepted after {} ms",
                            callback.amount, accepted.callback_ms
                        )
                    });
                    break;
                }
                Err(error) if error.is_temporary() => {
                    let line = Line::Retrying {
                        partner_reference: reference,
                        attempts,
                        problem: error.to_string(),
                    };
                    self.output.say(&line, || {
                        format!("{reference} is not accepted yet: {error}")
                    });
                }
                Err(error) => {
                    let line = Line::Rejected {
                        partner_reference: reference,
                        problem: error.to_string(),
                    };
                    self.output
                        .say(&line, || format!("{reference} is rejected: {error}"));
                    break;
                }
            }
            let until = Instant::now() + rand::random_range(wait / 2..=wait);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = &mut finish => return Ok(End::Unfinished),
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        pending
            .settled(reference)
            .context("the journal cannot be written")?;
        Ok(End::Settled)
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
    fn what_was_paid_and_not_accepted_is_there_after_a_restart() {
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
    fn without_a_journal_nothing_is_kept() {
        let mut pending = Pending::open(None).unwrap();
        pending.paid(&callback(1)).unwrap();
        assert_eq!(pending.open.len(), 1);
    }
}
