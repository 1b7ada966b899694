//! The payout partner: a bank that is told of payouts over HTTP, and tells us what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use platform::config::{Config, PayoutPartner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::acquirer::{Acquirer, Letter, secret_of};
use crate::api::Answer;
use crate::world::World;

/// The payout partner's id.
pub const ID: &str = "bank";
/// Where its callbacks go.
pub const PATH: &str = "/integrations/bank/payout-callback";

/// What the bank does with an instruction that it has not seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes it, and says nothing yet.
    Busy,
    /// Pays at once and says so.
    Prompt,
    /// Refuses it.
    Strict,
    /// Is not there: it has not heard anything.
    Away,
    /// Pays, and the answer is lost.
    Mumbling,
}

/// What the bank knows of a payout.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The instruction, as it came.
    pub instruction: Value,
    /// processing, paid, failed or returned.
    pub status: String,
    /// How often the bank was told.
    pub told: u32,
}

#[derive(Debug)]
struct Ledger {
    mood: Mood,
    transfers: BTreeMap<String, Transfer>,
    asked: u32,
}

/// A bank on this machine.
#[derive(Debug)]
pub struct Bank {
    address: SocketAddr,
    secret_file: PathBuf,
    ledger: Arc<Mutex<Ledger>>,
    _dir: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Bank {
    /// Opens it.
    pub async fn open(mood: Mood) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret_file = dir.path().join("secret");
        std::fs::write(&secret_file, secret_of(ID)).unwrap();
        let ledger = Arc::new(Mutex::new(Ledger {
            mood,
            transfers: BTreeMap::new(),
            asked: 0,
        }));
        let router = Router::new()
            .route("/payouts", post(instruct))
            .route("/payouts/query", post(query))
            .with_state(Arc::clone(&ledger));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            secret_file,
            ledger,
            _dir: dir,
            server,
        }
    }

    /// Makes a platform use it, quick to ask again.
    pub fn configure(&self, config: &mut Config) {
        self.configure_deaf(config);
        let partner = config.payout_partners.get_mut(ID).unwrap();
        partner.url = format!("http://{}", self.address);
    }

    /// Makes a platform know it by its callbacks alone.
    pub fn configure_deaf(&self, config: &mut Config) {
        let partner = PayoutPartner {
            url: String::new(),
            ca_file: PathBuf::new(),
            secret_files: vec![self.secret_file.clone()],
            secret_envs: Vec::new(),
        };
        config.payout_partners.insert(ID.to_owned(), partner);
        config.money.payout_timeout_ms = 500;
        config.money.payout_wait_min_s = 1;
        config.money.payout_ask_after_s = 1;
    }

    /// What it will do from now on.
    pub fn becomes(&self, mood: Mood) {
        self.book().mood = mood;
    }

    /// What it decides about everything that it has in hand, without telling anybody.
    pub fn decides(&self, status: &str) {
        for transfer in self.book().transfers.values_mut() {
            if transfer.status == "processing" {
                status.clone_into(&mut transfer.status);
            }
        }
    }

    /// What it decides about one payout.
    pub fn decides_on(&self, payout_id: &str, status: &str) {
        let mut book = self.book();
        status.clone_into(&mut book.transfers.get_mut(payout_id).unwrap().status);
    }

    /// All that it was told of, by payout id.
    pub fn transfers(&self) -> BTreeMap<String, Transfer> {
        self.book().transfers.clone()
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        self.book().asked
    }

    /// The money that it has sent to merchants and that did not come back.
    pub fn paid(&self) -> i64 {
        let book = self.book();
        let paid = book
            .transfers
            .values()
            .filter(|transfer| transfer.status == "paid");
        paid.map(|transfer| transfer.instruction["amount"].as_i64().unwrap())
            .sum()
    }

    fn book(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signed callback.
    pub fn sign(world: &World, body: &Value) -> Letter {
        let clock = world.clock.clone();
        let now = clock.now();
        Acquirer::new(world.anonymous(), clock, ID, secret_of(ID))
            .sign(body.to_string().as_bytes(), now)
    }

    /// Sends a callback as it is.
    pub async fn post(world: &World, letter: &Letter) -> Answer {
        let headers = [
            ("x-partner-id", letter.partner.as_str()),
            ("x-partner-timestamp", letter.timestamp.as_str()),
            ("x-partner-signature", letter.signature.as_str()),
        ];
        let body = Some(letter.body.clone());
        world
            .anonymous()
            .call(Method::POST, PATH, &headers, body)
            .await
    }

    /// Signs and sends.
    pub async fn tell(world: &World, body: &Value) -> Answer {
        Self::post(world, &Self::sign(world, body)).await
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The body of a callback, with an event id of its own.
pub fn word(settlement_id: &str, status: &str, amount: i64, reference: &str) -> Value {
    json!({
        "event_id": format!("pe-{:016x}", rand::random::<u64>()),
        "settlement_id": settlement_id,
        "status": status,
        "amount": amount,
        "bank_reference": reference,
        "occurred_at": "2026-05-24T09:00:00+07:00",
    })
}

fn said(id: &str, transfer: &Transfer) -> Value {
    json!({
        "payout_id": id,
        "status": transfer.status,
        "bank_reference": (transfer.status == "paid").then(|| reference(id)),
        "reason": (transfer.status == "failed").then_some("no such account"),
    })
}

/// The bank's name for a transfer.
pub fn reference(payout_id: &str) -> String {
    format!("BR-{}", &payout_id[payout_id.len() - 12..])
}

/// Signed by hand here, not by the platform's own code.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(ID), Some(timestamp), Some(signature)) = (
        text("x-partner-id"),
        text("x-partner-timestamp"),
        text("x-partner-signature"),
    ) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret_of(ID).as_bytes());
    let signed = [timestamp.as_bytes(), b".", body].concat();
    hex::decode(signature).is_ok_and(|signature| hmac::verify(&key, &signed, &signature).is_ok())
}

type Reply = (StatusCode, axum::Json<Value>);

async fn instruct(
    State(ledger): State<Arc<Mutex<Ledger>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if !is_signed(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({})));
    }
    let instruction: Value = serde_json::from_slice(&body).unwrap();
    let id = instruction["payout_id"].as_str().unwrap().to_owned();
    assert_eq!(headers["idempotency-key"], id.as_str());
    let mut book = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mood = book.mood;
    let lost = (StatusCode::BAD_GATEWAY, axum::Json(json!({})));
    if mood == Mood::Away {
        return lost;
    }
    let status = match mood {
        Mood::Busy | Mood::Away => "processing",
        Mood::Prompt | Mood::Mumbling => "paid",
        Mood::Strict => "failed",
    };
    let transfer = book.transfers.entry(id.clone()).or_insert(Transfer {
        instruction: instruction.clone(),
        status: status.to_owned(),
        told: 0,
    });
    assert_eq!(
        transfer.instruction, instruction,
        "told twice, and not the same"
    );
    transfer.told += 1;
    let answer = said(&id, transfer);
    match mood {
        Mood::Mumbling => lost,
        Mood::Strict => (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(answer)),
        _ => (StatusCode::ACCEPTED, axum::Json(answer)),
    }
}

async fn query(State(ledger): State<Arc<Mutex<Ledger>>>, headers: HeaderMap, body: Bytes) -> Reply {
    if !is_signed(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({})));
    }
    let question: Value = serde_json::from_slice(&body).unwrap();
    let id = question["payout_id"].as_str().unwrap().to_owned();
    let mut book = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    if book.mood == Mood::Away {
        return (StatusCode::BAD_GATEWAY, axum::Json(json!({})));
    }
    book.asked += 1;
    match book.transfers.get(&id) {
        Some(transfer) => (StatusCode::OK, axum::Json(said(&id, transfer))),
        None => (
            StatusCode::NOT_FOUND,
            axum::Json(json!({ "code": "PAYOUT_NOT_FOUND" })),
        ),
    }
}
