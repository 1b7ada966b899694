//! `bank`: a payout partner. It is told of payouts, takes its time, and calls back what became of each.
//!
//! ```text
//! POST /payouts        {payout_id, settlement_id, amount, destination, …}  ─▶ 202 {status: processing}
//! POST /payouts/query  {payout_id}                                         ─▶ 200 {status, bank_reference?, reason?}
//! ```
//!
//! A payout id is paid once, however often it is told; the journal is written before the answer, so that neither this
//! program's end nor the server's makes it pay twice. Both sides sign as profile `hmac`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::output::Output;
use crate::partner::Partner;

/// Where its callbacks go.
const CALLBACK_PATH: &str = "/integrations/bank/payout-callback";
/// The largest request.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How far the server's clock may be from ours, seconds.
const TOLERANCE_S: i64 = 300;
/// Payouts that wait to be decided about.
const WAITING_MAX: usize = 10_000;
/// Payouts that are decided about at the same time.
const AT_ONCE: usize = 256;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A payout, as the bank knows it; a line of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transfer {
    payout_id: String,
    settlement_id: String,
    amount: i64,
    destination: String,
    /// processing, paid or failed.
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bank_reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The platform has taken the callback.
    #[serde(default)]
    called_back: bool,
}

#[derive(Deserialize)]
struct Instruction {
    payout_id: String,
    settlement_id: String,
    amount: i64,
    destination: String,
}

#[derive(Deserialize)]
struct Question {
    payout_id: String,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Listening {
        url: String,
    },
    Told {
        payout_id: &'a str,
        amount: i64,
        destination: &'a str,
    },
    Decided {
        payout_id: &'a str,
        status: &'a str,
        bank_reference: Option<&'a str>,
    },
    Retrying {
        payout_id: &'a str,
        problem: String,
    },
    Rejected {
        payout_id: &'a str,
        problem: String,
    },
}

struct Journal {
    file: Option<File>,
    transfers: BTreeMap<String, Transfer>,
}

impl Journal {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                transfers: BTreeMap::new(),
            });
        };
        let mut transfers = BTreeMap::new();
        if path.exists() {
            for line in BufReader::new(File::open(path)?).split(b'\n') {
                // A line that was torn was not answered.
                if let Ok(transfer) = serde_json::from_slice::<Transfer>(&line?) {
                    transfers.insert(transfer.payout_id.clone(), transfer);
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Some(file),
            transfers,
        })
    }

    fn keep(&mut self, transfer: Transfer) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut bytes = serde_json::to_vec(&transfer)?;
            bytes.push(b'\n');
            file.write_all(&bytes)?;
            file.sync_data()?;
        }
        self.transfers.insert(transfer.payout_id.clone(), transfer);
        Ok(())
    }
}

/// What requests are answered from.
struct Desk {
    journal: Mutex<Journal>,
    id: String,
    key: hmac::Key,
    waiting: mpsc::Sender<String>,
    output: Output,
}

impl Desk {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn believes(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(timestamp), Some(signature)) = (
            text("x-partner-id"),
            text("x-partner-timestamp"),
            text("x-partner-signature"),
        ) else {
            return false;
        };
        let message = [timestamp.as_bytes(), b".", body].concat();
        let is_signed = hex::decode(signature)
            .is_ok_and(|signature| hmac::verify(&self.key, &message, &signature).is_ok());
        let is_fresh = timestamp
            .parse()
            .is_ok_and(|at: i64| (clock::now().timestamp() - at).abs() <= TOLERANCE_S);
        id == self.id && is_signed && is_fresh
    }
}

/// A bank.
pub struct PayoutBank {
    /// Who calls back.
    pub partner: Partner,
    /// Its id and the shared secret, for what it is told.
    pub id: String,
    /// The shared secret.
    pub secret: String,
    /// Where it listens; port 0 is any.
    pub listen: SocketAddr,
    /// How long it takes to decide.
    pub after: Duration,
    /// How many of a hundred payouts fail.
    pub fail_percent: u8,
    /// The same seed decides the same.
    pub seed: u64,
    /// Where payouts are remembered.
    pub journal: Option<PathBuf>,
    /// Where it prints.
    pub output: Output,
}

impl PayoutBank {
    /// Is a bank until `stop`; first it finishes what an earlier run left.
    ///
    /// # Errors
    /// A port or a journal that cannot be used.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let journal =
            Journal::open(self.journal.as_deref()).context("the journal cannot be used")?;
        let (waiting, mut told) = mpsc::channel(WAITING_MAX);
        for transfer in journal
            .transfers
            .values()
            .filter(|transfer| !transfer.called_back)
        {
            waiting.try_send(transfer.payout_id.clone())?;
        }
        let desk = Arc::new(Desk {
            journal: Mutex::new(journal),
            id: self.id,
            key: hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()),
            waiting,
            output: self.output,
        });
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let line = Line::Listening { url: url.clone() };
        self.output.say(&line, || format!("listening on {url}"));
        let router = Router::new()
            .route("/payouts", post(instruct))
            .route("/payouts/query", post(query))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&desk));
        let closing = stop.clone();
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { closing.cancelled().await })
                .await
        });
        let mut random = StdRng::seed_from_u64(self.seed);
        let partner = Arc::new(self.partner);
        let mut works = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(work) = works.join_next() => work??,
                Some(payout_id) = told.recv(), if works.len() < AT_ONCE => {
                    let fails = random.random_range(0..100) < self.fail_percent;
                    let (desk, partner) = (Arc::clone(&desk), Arc::clone(&partner));
                    works.spawn(async move {
                        tokio::time::sleep(self.after).await;
                        match decide(&desk, &payout_id, fails)? {
                            Some(transfer) => call_back(&partner, &desk, transfer).await,
                            None => Ok(()),
                        }
                    });
                }
            }
        }
        // What was decided is in the journal; what was not told yet is told by the next run.
        works.shutdown().await;
        server.await??;
        Ok(())
    }
}

/// Pays, or does not; what was decided by an earlier run stays so.
fn decide(desk: &Desk, payout_id: &str, fails: bool) -> anyhow::Result<Option<Transfer>> {
    let mut journal = desk.journal();
    let Some(mut transfer) = journal.transfers.get(payout_id).cloned() else {
        return Ok(None);
    };
    if transfer.status == "processing" {
        if fails {
            transfer.status = "failed".to_owned();
            transfer.reason = Some("the account is closed".to_owned());
        } else {
            transfer.status = "paid".to_owned();
            transfer.bank_reference = Some(format!("SIMBANK{}", clock::random_uuid().simple()));
        }
        journal
            .keep(transfer.clone())
            .context("the journal cannot be written")?;
        let line = Line::Decided {
            payout_id,
            status: &transfer.status,
            bank_reference: transfer.bank_reference.as_deref(),
        };
        desk.output.say(&line, || {
            format!(
                "{payout_id} is {} (Rp {})",
                transfer.status, transfer.amount
            )
        });
    }
    Ok(Some(transfer))
}

/// Calls back until it is taken, or refused for good.
async fn call_back(partner: &Partner, desk: &Desk, mut transfer: Transfer) -> anyhow::Result<()> {
    let payout_id = transfer.payout_id.clone();
    let body = json!({
        // The same message however often it is sent.
        "event_id": format!("{payout_id}-{}", transfer.status),
        "settlement_id": transfer.settlement_id,
        "payout_id": payout_id,
        "status": transfer.status,
        "amount": transfer.amount,
        "bank_reference": transfer.bank_reference,
        "occurred_at": wire::time::format(clock::now()),
    });
    let mut wait = RETRY_MIN;
    loop {
        match partner.post_to(CALLBACK_PATH, &body).await {
            Ok(_) => break,
            Err(error) if error.is_temporary() => {
                let problem = error.to_string();
                let line = Line::Retrying {
                    payout_id: &payout_id,
                    problem,
                };
                desk.output
                    .say(&line, || format!("{payout_id} is not taken yet: {error}"));
            }
            Err(error) => {
                let problem = error.to_string();
                let line = Line::Rejected {
                    payout_id: &payout_id,
                    problem,
                };
                desk.output
                    .say(&line, || format!("{payout_id} is refused: {error}"));
                break;
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
    transfer.called_back = true;
    desk.journal()
        .keep(transfer)
        .context("the journal cannot be written")
}

type Reply = (StatusCode, axum::Json<Value>);

fn refused(status: StatusCode, code: &str) -> Reply {
    (status, axum::Json(json!({ "code": code })))
}

fn said(transfer: &Transfer) -> axum::Json<Value> {
    axum::Json(json!({
        "payout_id": transfer.payout_id,
        "status": transfer.status,
        "bank_reference": transfer.bank_reference,
        "reason": transfer.reason,
    }))
}

async fn instruct(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Reply {
    if !desk.believes(&headers, &body) {
        return refused(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE");
    }
    let Ok(instruction) = serde_json::from_slice::<Instruction>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
    };
    let known = desk
        .journal()
        .transfers
        .get(&instruction.payout_id)
        .cloned();
    if let Some(known) = known {
        let is_same = known.amount == instruction.amount
            && known.destination == instruction.destination
            && known.settlement_id == instruction.settlement_id;
        return if is_same {
            (StatusCode::OK, said(&known))
        } else {
            refused(StatusCode::CONFLICT, "DUPLICATE_REQUEST")
        };
    }
    // A place is taken before anything is promised.
    let Ok(place) = desk.waiting.try_reserve() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
    };
    let transfer = Transfer {
        payout_id: instruction.payout_id,
        settlement_id: instruction.settlement_id,
        amount: instruction.amount,
        destination: instruction.destination,
        status: "processing".to_owned(),
        bank_reference: None,
        reason: None,
        called_back: false,
    };
    if desk.journal().keep(transfer.clone()).is_err() {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL");
    }
    let line = Line::Told {
        payout_id: &transfer.payout_id,
        amount: transfer.amount,
        destination: &transfer.destination,
    };
    desk.output.say(&line, || {
        format!(
            "told to pay Rp {} to {}",
            transfer.amount, transfer.destination
        )
    });
    place.send(transfer.payout_id.clone());
    (StatusCode::ACCEPTED, said(&transfer))
}

async fn query(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Reply {
    if !desk.believes(&headers, &body) {
        return refused(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE");
    }
    let Ok(question) = serde_json::from_slice::<Question>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
    };
    match desk.journal().transfers.get(&question.payout_id) {
        Some(transfer) => (StatusCode::OK, said(transfer)),
        None => refused(StatusCode::NOT_FOUND, "PAYOUT_NOT_FOUND"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(status: &str) -> Transfer {
        Transfer {
            payout_id: "pay_1".to_owned(),
            settlement_id: "set_1".to_owned(),
            amount: 5,
            destination: "bank:1".to_owned(),
            status: status.to_owned(),
            bank_reference: None,
            reason: None,
            called_back: false,
        }
    }

    #[test]
    fn what_was_told_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.jsonl");
        let mut journal = Journal::open(Some(&path)).unwrap();
        journal.keep(transfer("processing")).unwrap();
        journal.keep(transfer("paid")).unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"payout_id\":\"pay_2\"").unwrap();
        let journal = Journal::open(Some(&path)).unwrap();
        assert_eq!(journal.transfers.len(), 1);
        assert_eq!(journal.transfers["pay_1"].status, "paid");
    }
}
