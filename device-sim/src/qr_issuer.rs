//! `acquirer --listen`: a partner that issues codes, by the standard or in its dialect ([`IssuerApi`]). Its HTTP API has
//! access tokens, codes, queries, refunds and cancellations. Simulated customers pay the issued codes, and callbacks follow.
//! Callbacks and answers of the API have the configured faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::{digest, hmac};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::Rupiah;

use crate::api_faults::ApiFaults;
use crate::callback_faults::CallbackFaults;
use crate::clock;
use crate::issuer_orders::{Orders, Placed, Refunded, Status};
use crate::output::Output;
use crate::partner::issuer_api::IssuerApi;
use crate::partner::snap::{PublicKey, body_hash, is_symmetric};
use crate::partner::{Callback, Partner, Target};
use crate::qris_payload;

mod faulty;

/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most customers with a payment in progress.
const CUSTOMERS_MAX: usize = 10_000;

/// The partner that issues codes.
pub struct QrIssuer {
    /// Sends the callbacks.
    pub partner: Partner,
    /// How it wants to be called.
    pub api: &'static IssuerApi,
    /// The secret with which the platform signs its requests.
    pub secret: hmac::Key,
    /// The key that verifies the platform's token requests.
    pub platform_key: PublicKey,
    /// How long customers take to pay; `None` for no payments.
    pub pay_after: Option<Duration>,
    /// The faults of the callbacks.
    pub faults: CallbackFaults,
    /// The faults of its API.
    pub api_faults: ApiFaults,
    /// What it knows of its orders.
    pub orders: Orders,
    /// Seeds the faults.
    pub seed: u64,
    /// Standard output.
    pub output: Output,
}

struct IssuerState {
    issuer: QrIssuer,
    token: String,
    stop: CancellationToken,
    customers: Semaphore,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OutputEvent<'a> {
    Listening {
        url: String,
    },
    Issued {
        order: &'a str,
        reference: &'a str,
        amount: Rupiah,
    },
    #[serde(rename = "told")]
    CallbackSent {
        order: &'a str,
        amount: Rupiah,
        answer: String,
    },
    Lost {
        order: &'a str,
    },
    Refunded {
        order: &'a str,
        amount: Rupiah,
    },
    Fault {
        path: &'a str,
        fault: String,
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
        stop: stop.clone(),
        customers: Semaphore::new(CUSTOMERS_MAX),
    });
    let api = state.issuer.api;
    let mut router = Router::new()
        .route(api.token_path, post(token))
        .route(api.generate_path, post(generate))
        .route(api.query_path, post(query));
    if let Some([refunds, cancellations]) = api.refund_and_cancel {
        router = router
            .route(refunds, post(refund))
            .route(cancellations, post(cancel));
    }
    let faulty = middleware::from_fn_with_state(state.clone(), faulty::answer);
    let router = router
        .layer(faulty)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

type Reply = (StatusCode, Json<Value>);

/// In an answer: the order whose code it gives.
#[derive(Clone)]
struct Shown {
    name: String,
    number: u64,
}

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
    if !state.issuer.api.states_token_code {
        return (StatusCode::OK, Json(token));
    }
    reply("2007300", token)
}

impl IssuerState {
    /// The order's name and the body of an authentic request; otherwise the refusal.
    fn authenticate(
        &self,
        service: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(String, Value), Reply> {
        let api = self.issuer.api;
        let token = header(headers, "authorization").trim_start_matches("Bearer ");
        if token != self.token {
            return Err(reply(&format!("401{service}01"), json!({})));
        }
        let (path, time) = (uri.path(), header(headers, "x-timestamp"));
        let hash = match api.hashes_raw {
            true => hex::encode(digest::digest(&digest::SHA256, body)),
            false => body_hash(body),
        };
        let covered = match api.covers_token {
            true => format!("{token}:"),
            false => String::new(),
        };
        let text = format!("POST:{path}:{covered}{hash}:{time}");
        let signature = header(headers, "x-signature");
        if !is_symmetric(&self.issuer.secret, &text, signature, api.is_hex) {
            return Err(reply(&format!("401{service}00"), json!({})));
        }
        let malformed = || reply(&format!("400{service}01"), json!({}));
        if api
            .header
            .is_some_and(|name| header(headers, name).is_empty())
        {
            return Err(malformed());
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
        let name = ["partnerReferenceNo", "originalPartnerReferenceNo"]
            .iter()
            .find_map(|field| body[field].as_str())
            .filter(|name| (1..=api.order_name_len_max).contains(&name.len()))
            .ok_or_else(malformed)?;
        Ok((name.to_owned(), body))
    }

    /// A customer sees the code of this answer, if it has one, and will pay it. Nobody pays a code that was never given.
    fn meet(self: &Arc<Self>, answer: &Response) {
        if let Some(Shown { name, number }) = answer.extensions().get().cloned()
            && self.issuer.orders.meet(&name)
        {
            tokio::spawn(Arc::clone(self).simulate_payment(name, number));
        }
    }

    /// Waits, unless it is stopped.
    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// A customer pays, and callbacks are sent as planned.
    async fn simulate_payment(self: Arc<Self>, name: String, number: u64) {
        let Some(pay_after) = self.issuer.pay_after else {
            return;
        };
        let Ok(_customer) = self.customers.acquire().await else {
            return;
        };
        tokio::time::sleep(pay_after).await;
        let Some(paid) = self.issuer.orders.pay(&name) else {
            return;
        };
        let (amount, reference) = (paid.amount, paid.reference);
        let target = Target::Order(name.clone());
        let mut callback = Callback::new(target, amount, "success", clock::now());
        callback.partner_reference = reference;
        let plan = self.issuer.faults.plan(self.issuer.seed, number);
        let output = self.issuer.output;
        if plan.is_empty() {
            let lost = OutputEvent::Lost { order: &name };
            output.emit(&lost, || {
                format!("{name} is paid, and its callback is lost")
            });
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
                order: &name,
                amount: reported,
                answer: answer.clone(),
            };
            output.emit(&event, || format!("{name} Rp {reported}: {answer}"));
        }
    }
}

async fn generate(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Reply> {
    let (name, body) = state.authenticate("47", &uri, &headers, &body)?;
    let api = state.issuer.api;
    let amount = body["amount"]["value"]
        .as_str()
        .and_then(|value| value.parse::<Rupiah>().ok());
    let has_all = api.generate_needs.iter().all(|pointer| has(&body, pointer));
    let validity = body["validityPeriod"].as_str().unwrap_or_default();
    let is_in_seconds = validity.parse::<u32>().is_ok();
    let Some(amount) = amount.filter(|_| has_all && is_in_seconds == api.validity_in_seconds)
    else {
        return Err(reply("4004701", json!({})));
    };
    let nmid = body["merchantId"]
        .as_str()
        .filter(|id| id.starts_with("ID"));
    // A repeated request for an order gets the same order.
    let (is_new, number, reference) =
        match state.issuer.orders.place(&name, amount, state.issuer.seed) {
            Placed::New(number, reference) => (true, number, reference),
            Placed::Before(number, reference) => (false, number, reference),
            Placed::Other => return Err(reply("4094700", json!({}))),
            Placed::Full => return Err(reply("5004700", json!({}))),
        };
    if is_new {
        let event = OutputEvent::Issued {
            order: &name,
            reference: &reference,
            amount,
        };
        let output = state.issuer.output;
        output.emit(&event, || format!("{name} Rp {amount} is {reference}"));
    }
    let code = qris_payload::dynamic(nmid, &amount.to_string(), &reference);
    let issued = json!({ "referenceNo": reference, "partnerReferenceNo": name, "qrContent": code });
    let mut answer = reply("2004700", issued).into_response();
    answer.extensions_mut().insert(Shown { name, number });
    Ok(answer)
}

async fn query(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (name, body) = state.authenticate("51", &uri, &headers, &body)?;
    let api = state.issuer.api;
    let has_all = api.query_needs.iter().all(|pointer| has(&body, pointer));
    if !has_all || body["serviceCode"] != api.asked_service {
        return Err(reply("4005101", json!({})));
    }
    let known = state.issuer.orders.find(&name).map(|order| {
        json!({
            "originalReferenceNo": order.reference,
            "originalPartnerReferenceNo": name,
            "serviceCode": api.asked_service,
            "latestTransactionStatus": code(api, order.status),
            "amount": { "value": format!("{}.00", order.amount), "currency": "IDR" },
        })
    });
    known
        .map(|known| reply("2005100", known))
        .ok_or_else(|| reply("4045101", json!({})))
}

fn code(api: &IssuerApi, status: Status) -> &'static str {
    let [open, paid, taken_back, withdrawn] = api.codes;
    match status {
        Status::Open => open,
        Status::Paid => paid,
        Status::TakenBack => taken_back,
        Status::Withdrawn => withdrawn,
    }
}

/// Whether something stands at this place.
fn has(body: &Value, pointer: &str) -> bool {
    body.pointer(pointer)
        .is_some_and(|value| !value.is_null() && *value != json!(""))
}

async fn refund(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (name, body) = state.authenticate("78", &uri, &headers, &body)?;
    let refund = body["partnerRefundNo"].as_str().unwrap_or_default();
    if !(1..=state.issuer.api.order_name_len_max).contains(&refund.len()) {
        return Err(reply("4007801", json!({})));
    }
    let amount = body["refundAmount"]["value"]
        .as_str()
        .and_then(|value| value.parse::<Rupiah>().ok())
        .ok_or_else(|| reply("4007801", json!({})))?;
    let issuer = &state.issuer;
    let allows_parts = issuer.api.takes_back_parts;
    match issuer.orders.refund(&name, refund, amount, allows_parts) {
        Refunded::Done(number) => {
            let event = OutputEvent::Refunded {
                order: &name,
                amount,
            };
            let output = issuer.output;
            output.emit(&event, || format!("{name}: Rp {amount} is taken back"));
            let done = json!({
                "originalPartnerReferenceNo": name, "partnerRefundNo": refund,
                "refundNo": format!("BACK{}{number:04}", issuer.seed),
                "refundAmount": { "value": format!("{amount}.00"), "currency": "IDR" },
            });
            Ok(reply("2007800", done))
        }
        Refunded::OtherAmount => Err(reply("4097800", json!({}))),
        Refunded::WrongAmount => Err(reply("4047813", json!({}))),
        Refunded::NotPaid => Err(reply("4037815", json!({}))),
        Refunded::Unknown => Err(reply("4047801", json!({}))),
    }
}

async fn cancel(
    State(state): State<Arc<IssuerState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply, Reply> {
    let (name, _) = state.authenticate("77", &uri, &headers, &body)?;
    Ok(match state.issuer.orders.withdraw(&name) {
        Some(true) => reply("2007700", json!({})),
        Some(false) => reply("4097700", json!({})),
        None => reply("4047701", json!({})),
    })
}
