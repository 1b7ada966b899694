//! `bank`: a payout partner. It accepts payouts, decides about each after a delay, and calls back with the result.
//!
//! ```text
//! POST /payouts        {payout_id, settlement_id, amount, destination, …}  ─▶ 202 {status: processing}
//! POST /payouts/query  {payout_id}                                         ─▶ 200 {status, bank_reference?, reason?}
//! ```
//!
//! A payout id is paid once, however often it is requested: the journal is written before the answer, so that a restart
//! of this program or of the server leads to no second payment. Both sides sign with profile `hmac`.

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
use certs::durable_file;
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

/// The platform's route for payout callbacks.
const CALLBACK_PATH: &str = "/integrations/bank/payout-callback";
/// The largest request.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The largest difference between the server's clock and this one, in seconds.
const TOLERANCE_S: i64 = 300;
/// Payouts that wait for a decision.
const WAITING_MAX: usize = 10_000;
/// Payouts in progress at the same time.
const AT_ONCE: usize = 256;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A payout in the bank's journal, one per line.
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
    /// The platform has accepted the callback, or refused it for good.
    #[serde(default)]
    called_back: bool,
}

#[derive(Deserialize)]
struct PayoutRequest {
    payout_id: String,
    settlement_id: String,
    amount: i64,
    destination: String,
}

#[derive(Deserialize)]
struct StatusQuery {
    payout_id: String,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Listening {
        url: String,
    },
    #[serde(rename = "told")]
    PayoutRequested {
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
                // The request of a torn line was never answered.
                if let Ok(transfer) = serde_json::from_slice::<Transfer>(&line?) {
                    transfers.insert(transfer.payout_id.clone(), transfer);
                }
            }
        }
        // Rewritten, so that what follows a torn line does not become a part of it.
        let mut whole = Vec::new();
        for transfer in transfers.values() {
            whole.extend(line(transfer)?);
        }
        durable_file::replace(path, &whole, 0o600)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            file: Some(file),
            transfers,
        })
    }

    fn write(&mut self, transfer: Transfer) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&line(&transfer)?)?;
            file.sync_data()?;
        }
        self.transfers.insert(transfer.payout_id.clone(), transfer);
        Ok(())
    }
}

fn line(transfer: &Transfer) -> std::io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(transfer)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The state behind the HTTP API.
struct BankState {
    journal: Mutex<Journal>,
    id: String,
    key: hmac::Key,
    waiting: mpsc::Sender<String>,
    output: Output,
}

impl BankState {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_authentic(&self, headers: &HeaderMap, body: &[u8]) -> bool {
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

/// The simulated bank.
pub struct PayoutBank {
    /// Sends the callbacks.
    pub partner: Partner,
    /// The partner id in the platform's requests.
    pub id: String,
    /// The shared secret.
    pub secret: String,
    /// The address to listen on; port 0 is any.
    pub listen: SocketAddr,
    /// The delay before a decision.
    pub after: Duration,
    /// How many of a hundred payouts fail.
    pub fail_percent: u8,
    /// Seeds the decisions.
    pub seed: u64,
    /// Where payouts are stored.
    pub journal: Option<PathBuf>,
    /// Standard output.
    pub output: Output,
}

impl PayoutBank {
    /// Runs until `stop`. Unfinished payouts of an earlier run come first.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let journal =
            Journal::open(self.journal.as_deref()).context("the journal cannot be used")?;
        let (waiting, mut undecided) = mpsc::channel(WAITING_MAX);
        for transfer in journal
            .transfers
            .values()
            .filter(|transfer| !transfer.called_back)
        {
            waiting.try_send(transfer.payout_id.clone())?;
        }
        let state = Arc::new(BankState {
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
        let event = OutputEvent::Listening { url: url.clone() };
        self.output.emit(&event, || format!("listening on {url}"));
        let router = Router::new()
            .route("/payouts", post(request_payout))
            .route("/payouts/query", post(query_payout))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&state));
        let closing = stop.clone();
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { closing.cancelled().await })
                .await
        });
        let mut random = StdRng::seed_from_u64(self.seed);
        let partner = Arc::new(self.partner);
        let mut payouts = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = payouts.join_next() => ended??,
                Some(payout_id) = undecided.recv(), if payouts.len() < AT_ONCE => {
                    let fails = random.random_range(0..100) < self.fail_percent;
                    let (state, partner) = (Arc::clone(&state), Arc::clone(&partner));
                    payouts.spawn(async move {
                        tokio::time::sleep(self.after).await;
                        match decide(&state, &payout_id, fails)? {
                            Some(transfer) => call_back(&partner, &state, transfer).await,
                            None => Ok(()),
                        }
                    });
                }
            }
        }
        // Decisions are in the journal; the next run sends the missing callbacks.
        payouts.shutdown().await;
        server.await??;
        Ok(())
    }
}

/// Decides about a payout. The decision of an earlier run stands.
fn decide(state: &BankState, payout_id: &str, fails: bool) -> anyhow::Result<Option<Transfer>> {
    let mut journal = state.journal();
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
            .write(transfer.clone())
            .context("the journal cannot be written")?;
        let event = OutputEvent::Decided {
            payout_id,
            status: &transfer.status,
            bank_reference: transfer.bank_reference.as_deref(),
        };
        state.output.emit(&event, || {
            format!(
                "{payout_id} is {} (Rp {})",
                transfer.status, transfer.amount
            )
        });
    }
    Ok(Some(transfer))
}

/// Sends the callback until it is accepted, or refused for good.
async fn call_back(
    partner: &Partner,
    state: &BankState,
    mut transfer: Transfer,
) -> anyhow::Result<()> {
    let payout_id = transfer.payout_id.clone();
    let body = json!({
        // The same event id however often it is sent.
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
                let event = OutputEvent::Retrying {
                    payout_id: &payout_id,
                    problem,
                };
                state.output.emit(&event, || {
                    format!("{payout_id} is not accepted yet: {error}")
                });
            }
            Err(error) => {
                let problem = error.to_string();
                let event = OutputEvent::Rejected {
                    payout_id: &payout_id,
                    problem,
                };
                state
                    .output
                    .emit(&event, || format!("{payout_id} is refused: {error}"));
                break;
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
    transfer.called_back = true;
    state
        .journal()
        .write(transfer)
        .context("the journal cannot be written")
}

type Reply = (StatusCode, axum::Json<Value>);

fn refused(status: StatusCode, code: &str) -> Reply {
    (status, axum::Json(json!({ "code": code })))
}

fn status_body(transfer: &Transfer) -> axum::Json<Value> {
    axum::Json(json!({
        "payout_id": transfer.payout_id,
        "status": transfer.status,
        "bank_reference": transfer.bank_reference,
        "reason": transfer.reason,
    }))
}

async fn request_payout(
    State(state): State<Arc<BankState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if !state.is_authentic(&headers, &body) {
        return refused(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE");
    }
    let Ok(request) = serde_json::from_slice::<PayoutRequest>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
    };
    let known = state.journal().transfers.get(&request.payout_id).cloned();
    if let Some(known) = known {
        let is_same = known.amount == request.amount
            && known.destination == request.destination
            && known.settlement_id == request.settlement_id;
        return if is_same {
            (StatusCode::OK, status_body(&known))
        } else {
            refused(StatusCode::CONFLICT, "DUPLICATE_REQUEST")
        };
    }
    // The queue's capacity is reserved before the payout is accepted.
    let Ok(permit) = state.waiting.try_reserve() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
    };
    let transfer = Transfer {
        payout_id: request.payout_id,
        settlement_id: request.settlement_id,
        amount: request.amount,
        destination: request.destination,
        status: "processing".to_owned(),
        bank_reference: None,
        reason: None,
        called_back: false,
    };
    if state.journal().write(transfer.clone()).is_err() {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL");
    }
    let event = OutputEvent::PayoutRequested {
        payout_id: &transfer.payout_id,
        amount: transfer.amount,
        destination: &transfer.destination,
    };
    state.output.emit(&event, || {
        format!(
            "payout of Rp {} to {} accepted",
            transfer.amount, transfer.destination
        )
    });
    permit.send(transfer.payout_id.clone());
    (StatusCode::ACCEPTED, status_body(&transfer))
}

async fn query_payout(
    State(state): State<Arc<BankState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if !state.is_authentic(&headers, &body) {
        return refused(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE");
    }
    let Ok(query) = serde_json::from_slice::<StatusQuery>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST");
    };
    match state.journal().transfers.get(&query.payout_id) {
        Some(transfer) => (StatusCode::OK, status_body(transfer)),
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
    fn accepted_payouts_are_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.jsonl");
        let mut journal = Journal::open(Some(&path)).unwrap();
        journal.write(transfer("processing")).unwrap();
        journal.write(transfer("paid")).unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"payout_id\":\"pay_2\"").unwrap();
        let mut journal = Journal::open(Some(&path)).unwrap();
        assert_eq!(journal.transfers.len(), 1);
        assert_eq!(journal.transfers["pay_1"].status, "paid");
        // What follows a torn line is known too.
        let mut next = transfer("paid");
        next.payout_id = "pay_2".to_owned();
        journal.write(next).unwrap();
        let journal = Journal::open(Some(&path)).unwrap();
        assert_eq!(journal.transfers.len(), 2);
    }
}
