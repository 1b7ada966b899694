//! `acquirer --listen`: a partner that issues codes (profile `snap`). Its HTTP API has access tokens, qr-mpm-generate,
//! query, refund and cancel. Simulated customers pay the issued codes, and callbacks follow with the configured faults.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::{Rupiah, TransactionId};

use crate::callback_faults::CallbackFaults;
use crate::clock;
use crate::output::Output;
use crate::partner::snap::{PublicKey, body_hash, is_symmetric};
use crate::partner::{Callback, Partner, Target};
use crate::qris_payload;

/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most orders that are kept.
const ORDERS_MAX: usize = 1_000_000;
/// The most customers with a payment in progress.
const CUSTOMERS_MAX: usize = 10_000;

/// The partner that issues codes.
pub struct QrIssuer {
    /// Sends the callbacks.
    pub partner: Partner,
    /// The secret with which the platform signs its requests.
    pub secret: hmac::Key,
    /// The key that verifies the platform's token requests.
    pub platform_key: PublicKey,
    /// How long customers take to pay; `None` for no payments.
    pub pay_after: Option<Duration>,
    /// The faults of the callbacks.
    pub faults: CallbackFaults,
    /// Seeds the faults.
    pub seed: u64,
    /// Standard output.
    pub output: Output,
}

struct Order {
    amount: Rupiah,
    reference: String,
    status: &'static str,
}

struct IssuerState {
    issuer: QrIssuer,
    token: String,
    numbers: AtomicU64,
    orders: Mutex<HashMap<TransactionId, Order>>,
    customers: Semaphore,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Listening {
        url: String,
    },
    Issued {
        transaction_id: TransactionId,
        reference: &'a str,
        amount: Rupiah,
    },
    #[serde(rename = "told")]
    CallbackSent {
        transaction_id: TransactionId,
        amount: Rupiah,
        answer: String,
    },
    Lost {
        transaction_id: TransactionId,
    },
}

/// Answers until `stop`.
pub async fn run(
    issuer: QrIssuer,
    listen: SocketAddr,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    issuer
        .output
        .emit(&OutputEvent::Listening { url: url.clone() }, || {
            format!("listening on {url}")
        });
    let state = Arc::new(IssuerState {
        issuer,
        token: clock::nonce(),
        numbers: AtomicU64::new(0),
        orders: Mutex::default(),
        customers: Semaphore::new(CUSTOMERS_MAX),
    });
    let router = Router::new()
        .route("/v1.0/access-token/b2b", post(token))
        .route("/v1.0/qr/qr-mpm-generate", post(generate))
        .route("/v1.0/qr/qr-mpm-query", post(query))
        .route("/v1.0/qr/qr-mpm-refund", post(refund))
        .route("/v1.0/qr/qr-mpm-cancel", post(cancel))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

type Reply = (StatusCode, Json<Value>);

/// A SNAP answer. The seven-digit code begins with its HTTP status.
fn reply(code: &str, mut fields: Value) -> Reply {
    fields["responseCode"] = json!(code);
    fields["responseMessage"] = json!(if code.starts_with('2') {
        "Successful"
    } else {
        "Refused"
    });
    let status = code[..3]
        .parse()
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(fields))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn token(State(state): State<Arc<IssuerState>>, headers: HeaderMap) -> Reply {
    let (client, time) = (
        header(&headers, "x-client-key"),
        header(&headers, "x-timestamp"),
    );
    let signature = header(&headers, "x-signature");
    let key = &state.issuer.platform_key;
    if !key.verifies(&format!("{client}|{time}"), signature) {
        return reply("4017300", json!({}));
    }
    let token = json!({ "accessToken": state.token, "tokenType": "Bearer", "expiresIn": "900" });
    reply("2007300", token)
}

impl IssuerState {
    /// The transaction and body of an authentic request; otherwise the refusal.
    fn authenticate(
        &self,
        service: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(TransactionId, Value), Reply> {
        let token = header(headers, "authorization").trim_start_matches("Bearer ");
        if token != self.token {
            return Err(reply(&format!("401{service}01"), json!({})));
        }
        let (path, time) = (uri.path(), header(headers, "x-timestamp"));
        let text = format!("POST:{path}:{token}:{}:{time}", body_hash(body));
        if !is_symmetric(&self.issuer.secret, &text, header(headers, "x-signature")) {
            return Err(reply(&format!("401{service}00"), json!({})));
        }
        let malformed = || reply(&format!("400{service}01"), json!({}));
        let body: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
        let id = ["partnerReferenceNo", "originalPartnerReferenceNo"]
            .iter()
            .find_map(|field| body[field].as_str())
            .and_then(|id| id.parse().ok())
            .ok_or_else(malformed)?;
        Ok((id, body))
    }

    fn with_order<T>(&self, id: TransactionId, then: impl FnOnce(&mut Order) -> T) -> Option<T> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.get_mut(&id).map(then)
    }

    /// A customer pays, and callbacks are sent as planned.
    async fn simulate_payment(self: Arc<Self>, id: TransactionId, number: u64) {
        let Some(pay_after) = self.issuer.pay_after else {
            return;
        };
        let Ok(_customer) = self.customers.acquire().await else {
            return;
        };
        tokio::time::sleep(pay_after).await;
        let paid = self.with_order(id, |order| {
            let open = order.status == "03";
            if open {
                order.status = "00";
            }
            open.then(|| (order.amount, order.reference.clone()))
        });
        let Some((amount, reference)) = paid.flatten() else {
            return;
        };
        let mut callback = Callback::new(Target::Transaction(id), amount, "success", clock::now());
        callback.partner_reference = reference;
        let plan = self.issuer.faults.plan(self.issuer.seed, number);
        let output = self.issuer.output;
        if plan.is_empty() {
            let lost = OutputEvent::Lost { transaction_id: id };
            output.emit(&lost, || format!("{id} is paid, and its callback is lost"));
        }
        let mut elapsed = Duration::ZERO;
        for planned in plan {
            tokio::time::sleep(planned.after.saturating_sub(elapsed)).await;
            elapsed = planned.after;
            let reported = Rupiah::from_i64(amount.to_i64() + planned.amount_off_by);
            callback.amount = reported;
            let answer = match self.issuer.partner.post(&callback).await {
                Ok(accepted) => accepted.answer.to_string(),
                Err(error) => error.to_string(),
            };
            let event = OutputEvent::CallbackSent {
                transaction_id: id,
                amount: reported,
                answer: answer.clone(),
            };
            output.emit(&event, || format!("{id} Rp {reported}: {answer}"));
        }
    }
}

async fn generate(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (id, body) = state.authenticate("47", &uri, &headers, &body)?;
    let amount = body["amount"]["value"]
        .as_str()
        .and_then(|value| value.parse::<Rupiah>().ok());
    let (Some(amount), Some(nmid)) = (amount, body["merchantId"].as_str()) else {
        return Err(reply("4004701", json!({})));
    };
    let mut fresh = None;
    let reference = {
        let mut orders = state.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= ORDERS_MAX {
            return Err(reply("5004700", json!({})));
        }
        // A repeated request for an order gets the same order.
        let order = orders.entry(id).or_insert_with(|| {
            let number = state.numbers.fetch_add(1, Ordering::Relaxed);
            fresh = Some(number);
            Order {
                amount,
                reference: format!("SIM{}{number:010}", state.issuer.seed),
                status: "03",
            }
        });
        if order.amount != amount {
            return Err(reply("4094700", json!({})));
        }
        order.reference.clone()
    };
    if let Some(number) = fresh {
        let event = OutputEvent::Issued {
            transaction_id: id,
            reference: &reference,
            amount,
        };
        let output = state.issuer.output;
        output.emit(&event, || format!("{id} Rp {amount} is {reference}"));
        tokio::spawn(state.clone().simulate_payment(id, number));
    }
    let code = qris_payload::dynamic(nmid, &amount.to_string(), &reference);
    let issued = json!({ "referenceNo": reference, "partnerReferenceNo": id, "qrContent": code });
    Ok(reply("2004700", issued))
}

async fn query(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (id, _) = state.authenticate("51", &uri, &headers, &body)?;
    let known = state.with_order(id, |order| {
        json!({
            "originalReferenceNo": order.reference,
            "originalPartnerReferenceNo": id,
            "serviceCode": "47",
            "latestTransactionStatus": order.status,
            "amount": { "value": format!("{}.00", order.amount), "currency": "IDR" },
        })
    });
    known
        .map(|known| reply("2005100", known))
        .ok_or_else(|| reply("4045101", json!({})))
}

async fn refund(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (id, _) = state.authenticate("78", &uri, &headers, &body)?;
    Ok(change_status(&state, "78", id, ["00", "04"]))
}

async fn cancel(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (id, _) = state.authenticate("77", &uri, &headers, &body)?;
    Ok(change_status(&state, "77", id, ["03", "05"]))
}

/// Moves an order from one status to another. Repeating the request succeeds.
fn change_status(
    state: &IssuerState,
    service: &str,
    id: TransactionId,
    [from, to]: [&'static str; 2],
) -> Reply {
    let done = state.with_order(id, |order| {
        if order.status == from {
            order.status = to;
        }
        order.status == to
    });
    match done {
        Some(true) => reply(&format!("200{service}00"), json!({})),
        Some(false) => reply(&format!("409{service}00"), json!({})),
        None => reply(&format!("404{service}01"), json!({})),
    }
}
