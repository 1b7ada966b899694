//! The acquirer: signed callbacks, and callbacks that are tampered with.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use wire::TransactionId;

use crate::api::{Answer, Api};

/// The partner that issues our merchants' codes.
pub const OURS: &str = "acme";
/// A configured partner without merchants.
pub const ANOTHER: &str = "rival";
/// Where callbacks go.
pub const PATH: &str = "/integrations/qris/callback";

/// The secret of one of them.
pub fn secret_of(partner: &str) -> String {
    format!("the secret shared with {partner}")
}

/// One acquirer.
#[derive(Debug, Clone)]
pub struct Acquirer {
    api: Api,
    clock: Clock,
    id: String,
    secret: String,
}

/// A signed callback; tests change any of its parts before it is sent.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// `X-Partner-Id`.
    pub partner: String,
    /// `X-Partner-Timestamp`.
    pub timestamp: String,
    /// `X-Partner-Signature`.
    pub signature: String,
    /// The raw body.
    pub body: Vec<u8>,
}

impl Acquirer {
    pub(crate) fn new(api: Api, clock: Clock, id: &str, secret: String) -> Self {
        Self {
            api,
            clock,
            id: id.to_owned(),
            secret,
        }
    }

    /// The same, which calls another receiver.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            api: self.api.at(base),
            ..self.clone()
        }
    }

    /// A signed callback with this body. It is not signed by the platform's own code.
    pub fn sign(&self, body: &[u8], at: DateTime<Utc>) -> SignedRequest {
        let timestamp = at.timestamp().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = [timestamp.as_bytes(), b".", body].concat();
        SignedRequest {
            partner: self.id.clone(),
            signature: hex::encode(hmac::sign(&key, &signed)),
            timestamp,
            body: body.to_vec(),
        }
    }

    /// Sends a callback unchanged.
    pub async fn post(&self, request: &SignedRequest) -> Answer {
        self.try_post(request).await.unwrap()
    }

    /// Sends a callback to a platform that may have stopped.
    pub async fn try_post(&self, request: &SignedRequest) -> reqwest::Result<Answer> {
        let headers = [
            ("x-partner-id", request.partner.as_str()),
            ("x-partner-timestamp", request.timestamp.as_str()),
            ("x-partner-signature", request.signature.as_str()),
        ];
        let body = Some(request.body.clone());
        self.api.try_call(Method::POST, PATH, &headers, body).await
    }

    /// Signs and sends.
    pub async fn send(&self, body: &Value) -> Answer {
        let request = self.sign(body.to_string().as_bytes(), self.clock.now());
        self.post(&request).await
    }

    /// Signs and sends; the verdict of an answer that must be 200.
    pub async fn verdict(&self, body: &Value) -> Value {
        self.send(body).await.expect(200).data()["verdict"].take()
    }

    /// The callback about a dynamic code that is paid now.
    pub fn payment(&self, id: TransactionId, amount: i64) -> SignedRequest {
        let now = self.clock.now();
        let body = success(id, amount, &reference(), now);
        self.sign(body.to_string().as_bytes(), now)
    }

    /// A customer pays a dynamic code now.
    pub async fn pay(&self, id: TransactionId, amount: i64) -> Answer {
        self.post(&self.payment(id, amount)).await
    }
}

/// A reference that no other payment has.
pub fn reference() -> String {
    format!("ref-{:016x}", rand::random::<u64>())
}

/// The body of a success.
pub fn success(
    id: TransactionId,
    amount: i64,
    partner_reference: &str,
    paid_at: DateTime<Utc>,
) -> Value {
    json!({
        "event_id": format!("evt-{partner_reference}"),
        "transaction_id": id,
        "partner_reference": partner_reference,
        "amount": amount,
        "currency": "IDR",
        "status": "success",
        "paid_at": paid_at,
        "rrn": "123456789012",
        "issuer": "Bank Contoh",
    })
}

/// The body of a success of a printed code.
pub fn static_success(
    nmid: &str,
    terminal_label: &str,
    amount: i64,
    partner_reference: &str,
    paid_at: DateTime<Utc>,
) -> Value {
    json!({
        "event_id": format!("evt-{partner_reference}"),
        "nmid": nmid,
        "terminal_label": terminal_label,
        "partner_reference": partner_reference,
        "amount": amount,
        "currency": "IDR",
        "status": "success",
        "paid_at": paid_at,
    })
}

/// The same with another status.
#[must_use]
pub fn but_status(mut body: Value, status: &str) -> Value {
    body["status"] = json!(status);
    body
}
