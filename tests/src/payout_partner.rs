//! The payout partner: takes instructions and queries over HTTP, and sends callbacks.

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
use platform::config::{self, Config};
use reqwest::Method;
use serde_json::{Value, json};

use crate::acquirer::{Acquirer, SignedRequest, secret_of};
use crate::api::Answer;
use crate::world::World;

/// The payout partner's id.
pub const ID: &str = "bank";
/// The path of its callbacks.
pub const PATH: &str = "/integrations/bank/payout-callback";

/// What the partner does with a new instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts it without a result.
    Accepts,
    /// Pays at once.
    Pays,
    /// Refuses it.
    Refuses,
    /// Does not answer, and has not received it.
    Unreachable,
    /// Pays, and the answer is lost.
    LosesAnswers,
}

/// A payout at the partner.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The instruction.
    pub instruction: Value,
    /// processing, paid, failed or returned.
    pub status: String,
    /// How often the instruction came.
    pub instructed: u32,
}

#[derive(Debug)]
struct Payouts {
    behaviour: Behaviour,
    transfers: BTreeMap<String, Transfer>,
    queries: u32,
}

/// A payout partner in this process.
#[derive(Debug)]
pub struct PayoutPartner {
    address: SocketAddr,
    secret_file: PathBuf,
    shared: Arc<Mutex<Payouts>>,
    _dir: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl PayoutPartner {
    /// Starts it.
    pub async fn open(behaviour: Behaviour) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret_file = dir.path().join("secret");
        std::fs::write(&secret_file, secret_of(ID)).unwrap();
        let shared = Arc::new(Mutex::new(Payouts {
            behaviour,
            transfers: BTreeMap::new(),
            queries: 0,
        }));
        let router = Router::new()
            .route("/payouts", post(instruct))
            .route("/payouts/query", post(query))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            secret_file,
            shared,
            _dir: dir,
            server,
        }
    }

    /// Configures the platform with it, with short intervals.
    pub fn configure(&self, config: &mut Config) {
        self.configure_callbacks_only(config);
        let partner = config.payout_partners.get_mut(ID).unwrap();
        partner.url = format!("http://{}", self.address);
    }

    /// The same as tables of a configuration file, for a process that has no other tables of money.
    pub fn tables(&self) -> String {
        format!(
            "[payout_partners.{ID}]\nurl = \"http://{}\"\nsecret_files = [{:?}]\n\
             [money]\npayout_timeout_ms = 500\npayout_wait_min_s = 1\npayout_ask_after_s = 1\n",
            self.address,
            self.secret_file.display().to_string(),
        )
    }

    /// The same, where changes of money need two people.
    pub fn configure_two_people(&self, config: &mut Config) {
        self.configure(config);
        config.money.maker_checker = config::Switch::On;
    }

    /// Configures the platform with its callbacks alone: it cannot be called.
    pub fn configure_callbacks_only(&self, config: &mut Config) {
        let partner = config::PayoutPartner {
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

    /// Sets its behaviour from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Sets the status of all payouts in processing, without a callback.
    pub fn decide(&self, status: &str) {
        for transfer in self.state().transfers.values_mut() {
            if transfer.status == "processing" {
                status.clone_into(&mut transfer.status);
            }
        }
    }

    /// Sets the status of one payout.
    pub fn decide_on(&self, payout_id: &str, status: &str) {
        let mut state = self.state();
        status.clone_into(&mut state.transfers.get_mut(payout_id).unwrap().status);
    }

    /// All payouts that it received, by id.
    pub fn transfers(&self) -> BTreeMap<String, Transfer> {
        self.state().transfers.clone()
    }

    /// How many queries it received.
    pub fn queries(&self) -> u32 {
        self.state().queries
    }

    /// The sum of all paid payouts.
    pub fn paid(&self) -> i64 {
        let state = self.state();
        let paid = state
            .transfers
            .values()
            .filter(|transfer| transfer.status == "paid");
        paid.map(|transfer| transfer.instruction["amount"].as_i64().unwrap())
            .sum()
    }

    fn state(&self) -> MutexGuard<'_, Payouts> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signed callback.
    pub fn sign(world: &World, body: &Value) -> SignedRequest {
        let clock = world.clock.clone();
        let now = clock.now();
        Acquirer::new(world.anonymous(), clock, ID, secret_of(ID))
            .sign(body.to_string().as_bytes(), now)
    }

    /// Sends a callback unchanged.
    pub async fn post(world: &World, request: &SignedRequest) -> Answer {
        let headers = [
            ("x-partner-id", request.partner.as_str()),
            ("x-partner-timestamp", request.timestamp.as_str()),
            ("x-partner-signature", request.signature.as_str()),
        ];
        let body = Some(request.body.clone());
        world
            .anonymous()
            .call(Method::POST, PATH, &headers, body)
            .await
    }

    /// Signs and sends.
    pub async fn send(world: &World, body: &Value) -> Answer {
        Self::post(world, &Self::sign(world, body)).await
    }
}

impl Drop for PayoutPartner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The body of a callback, with an event id of its own.
pub fn payout_callback(settlement_id: &str, status: &str, amount: i64, reference: &str) -> Value {
    json!({
        "event_id": format!("pe-{:016x}", rand::random::<u64>()),
        "settlement_id": settlement_id,
        "status": status,
        "amount": amount,
        "bank_reference": reference,
        "occurred_at": "2026-05-24T09:00:00+07:00",
    })
}

fn answer(id: &str, transfer: &Transfer) -> Value {
    json!({
        "payout_id": id,
        "status": transfer.status,
        "bank_reference": (transfer.status == "paid").then(|| reference(id)),
        "reason": (transfer.status == "failed").then_some("no such account"),
    })
}

/// The bank reference of a payout.
pub fn reference(payout_id: &str) -> String {
    format!("BR-{}", &payout_id[payout_id.len() - 12..])
}

/// Verified without the platform's own code.
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
    State(shared): State<Arc<Mutex<Payouts>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if !is_signed(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({})));
    }
    let instruction: Value = serde_json::from_slice(&body).unwrap();
    let id = instruction["payout_id"].as_str().unwrap().to_owned();
    assert_eq!(headers["idempotency-key"], id.as_str());
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let behaviour = state.behaviour;
    let lost = (StatusCode::BAD_GATEWAY, axum::Json(json!({})));
    if behaviour == Behaviour::Unreachable {
        return lost;
    }
    let status = match behaviour {
        Behaviour::Accepts | Behaviour::Unreachable => "processing",
        Behaviour::Pays | Behaviour::LosesAnswers => "paid",
        Behaviour::Refuses => "failed",
    };
    let transfer = state.transfers.entry(id.clone()).or_insert(Transfer {
        instruction: instruction.clone(),
        status: status.to_owned(),
        instructed: 0,
    });
    assert_eq!(
        transfer.instruction, instruction,
        "the same instruction with another content"
    );
    transfer.instructed += 1;
    let answer = answer(&id, transfer);
    match behaviour {
        Behaviour::LosesAnswers => lost,
        Behaviour::Refuses => (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(answer)),
        _ => (StatusCode::ACCEPTED, axum::Json(answer)),
    }
}

async fn query(
    State(shared): State<Arc<Mutex<Payouts>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if !is_signed(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({})));
    }
    let question: Value = serde_json::from_slice(&body).unwrap();
    let id = question["payout_id"].as_str().unwrap().to_owned();
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    state.queries += 1;
    if state.behaviour == Behaviour::Unreachable {
        return (StatusCode::BAD_GATEWAY, axum::Json(json!({})));
    }
    match state.transfers.get(&id) {
        Some(transfer) => (StatusCode::OK, axum::Json(answer(&id, transfer))),
        None => (
            StatusCode::NOT_FOUND,
            axum::Json(json!({ "code": "PAYOUT_NOT_FOUND" })),
        ),
    }
}
