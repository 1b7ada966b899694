//! `acquirer --listen`: the partner's own API over HTTP, for a platform that asks it for codes (profile `snap`): access
//! token, qr-mpm-generate, query, refund, cancel. Customers pay what it issues, and it tells of that with whatever goes
//! wrong on the way.

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

use crate::clock;
use crate::code;
use crate::faults::Faults;
use crate::output::Output;
use crate::partner::snap::{PublicKey, body_hash, is_symmetric};
use crate::partner::{Callback, Partner, Target};

/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most orders that are remembered.
const ORDERS_MAX: usize = 1_000_000;
/// The most customers who are about to pay.
const CUSTOMERS_MAX: usize = 10_000;

/// The partner.
pub struct Bank {
    /// How it tells of payments.
    pub partner: Partner,
    /// What the platform signs its requests with.
    pub secret: hmac::Key,
    /// What the platform signs its requests for tokens with.
    pub platform_key: PublicKey,
    /// How long customers take to pay; none: nobody pays.
    pub pay_after: Option<Duration>,
    /// What goes wrong.
    pub faults: Faults,
    /// Repeats what goes wrong.
    pub seed: u64,
    /// Where it prints.
    pub output: Output,
}

struct Order {
    amount: Rupiah,
    reference: String,
    status: &'static str,
}

struct Counter {
    bank: Bank,
    token: String,
    numbers: AtomicU64,
    orders: Mutex<HashMap<TransactionId, Order>>,
    customers: Semaphore,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Listening {
        url: String,
    },
    Issued {
        transaction_id: TransactionId,
        reference: &'a str,
        amount: Rupiah,
    },
    Told {
        transaction_id: TransactionId,
        amount: Rupiah,
        answer: String,
    },
    Lost {
        transaction_id: TransactionId,
    },
}

/// Answers until `stop`.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn run(bank: Bank, listen: SocketAddr, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    bank.output.say(&Line::Listening { url: url.clone() }, || {
        format!("listening on {url}")
    });
    let counter = Arc::new(Counter {
        bank,
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
        .with_state(counter);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

type Reply = (StatusCode, Json<Value>);

/// An answer: a seven-digit code begins with its HTTP status.
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

async fn token(State(counter): State<Arc<Counter>>, headers: HeaderMap) -> Reply {
    let (client, time) = (
        header(&headers, "x-client-key"),
        header(&headers, "x-timestamp"),
    );
    let signature = header(&headers, "x-signature");
    let key = &counter.bank.platform_key;
    if !key.signed(&format!("{client}|{time}"), signature) {
        return reply("4017300", json!({}));
    }
    let token = json!({ "accessToken": counter.token, "tokenType": "Bearer", "expiresIn": "900" });
    reply("2007300", token)
}

impl Counter {
    /// What a request says, if its token and signature are good; otherwise how it is answered.
    fn believe(
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
        if !is_symmetric(&self.bank.secret, &text, header(headers, "x-signature")) {
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

    /// A customer pays, and it is told of as planned.
    async fn sell(self: Arc<Self>, id: TransactionId, number: u64) {
        let Some(pay_after) = self.bank.pay_after else {
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
        let plan = self.bank.faults.plan(self.bank.seed, number);
        let output = self.bank.output;
        if plan.is_empty() {
            let lost = Line::Lost { transaction_id: id };
            output.say(&lost, || format!("{id} is paid, and nobody is told"));
        }
        let mut elapsed = Duration::ZERO;
        for notice in plan {
            tokio::time::sleep(notice.after.saturating_sub(elapsed)).await;
            elapsed = notice.after;
            let told = Rupiah::from_i64(amount.to_i64() + notice.amount_off_by);
            callback.amount = told;
            let answer = match self.bank.partner.post(&callback).await {
                Ok(accepted) => accepted.answer.to_string(),
                Err(error) => error.to_string(),
            };
            let line = Line::Told {
                transaction_id: id,
                amount: told,
                answer: answer.clone(),
            };
            output.say(&line, || format!("{id} Rp {told}: {answer}"));
        }
    }
}

async fn generate(
    State(counter): State<Arc<Counter>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let (id, body) = match counter.believe("47", &uri, &headers, &body) {
        Ok(believed) => believed,
        Err(refusal) => return refusal,
    };
    let amount = body["amount"]["value"]
        .as_str()
        .and_then(|value| value.parse::<Rupiah>().ok());
    let (Some(amount), Some(nmid)) = (amount, body["merchantId"].as_str()) else {
        return reply("4004701", json!({}));
    };
    let mut fresh = None;
    let reference = {
        let mut orders = counter
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= ORDERS_MAX {
            return reply("5004700", json!({}));
        }
        // Asked again about the same order, it is the same order.
        let order = orders.entry(id).or_insert_with(|| {
            let number = counter.numbers.fetch_add(1, Ordering::Relaxed);
            fresh = Some(number);
            Order {
                amount,
                reference: format!("SIM{}{number:010}", counter.bank.seed),
                status: "03",
            }
        });
        if order.amount != amount {
            return reply("4094700", json!({}));
        }
        order.reference.clone()
    };
    if let Some(number) = fresh {
        let line = Line::Issued {
            transaction_id: id,
            reference: &reference,
            amount,
        };
        let output = counter.bank.output;
        output.say(&line, || format!("{id} Rp {amount} is {reference}"));
        tokio::spawn(counter.clone().sell(id, number));
    }
    let code = code::dynamic(nmid, &amount.to_string(), &reference);
    let issued = json!({ "referenceNo": reference, "partnerReferenceNo": id, "qrContent": code });
    reply("2004700", issued)
}

async fn query(
    State(counter): State<Arc<Counter>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let (id, _) = match counter.believe("51", &uri, &headers, &body) {
        Ok(believed) => believed,
        Err(refusal) => return refusal,
    };
    let known = counter.with_order(id, |order| {
        json!({
            "originalReferenceNo": order.reference,
            "originalPartnerReferenceNo": id,
            "serviceCode": "47",
            "latestTransactionStatus": order.status,
            "amount": { "value": format!("{}.00", order.amount), "currency": "IDR" },
        })
    });
    known.map_or_else(
        || reply("4045101", json!({})),
        |known| reply("2005100", known),
    )
}

async fn refund(
    State(counter): State<Arc<Counter>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    end(
        &counter,
        "78",
        ["00", "04"],
        counter.believe("78", &uri, &headers, &body),
    )
}

async fn cancel(
    State(counter): State<Arc<Counter>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    end(
        &counter,
        "77",
        ["03", "05"],
        counter.believe("77", &uri, &headers, &body),
    )
}

/// Moves an order from one status to another; told again, it is so already.
fn end(
    counter: &Counter,
    service: &str,
    [from, to]: [&'static str; 2],
    asked: Result<(TransactionId, Value), Reply>,
) -> Reply {
    let id = match asked {
        Ok((id, _)) => id,
        Err(refusal) => return refusal,
    };
    let done = counter.with_order(id, |order| {
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
