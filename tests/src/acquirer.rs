//! The acquirer: signed callbacks, and callbacks that only look like it.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use platform::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use wire::TransactionId;

use crate::api::{Answer, Api};

/// The partner that issues our merchants' codes.
pub const OURS: &str = "acme";
/// A partner that we know, with no merchants of ours.
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

/// A callback on its way: whatever is in here can be spoiled before it is sent.
#[derive(Debug, Clone)]
pub struct Letter {
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

    /// A signed callback with this body. Signed here by hand, not by the platform's own code.
    pub fn sign(&self, body: &[u8], at: DateTime<Utc>) -> Letter {
        let timestamp = at.timestamp().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = [timestamp.as_bytes(), b".", body].concat();
        Letter {
            partner: self.id.clone(),
            signature: hex::encode(hmac::sign(&key, &signed)),
            timestamp,
            body: body.to_vec(),
        }
    }

    /// Sends a callback as it is.
    pub async fn post(&self, letter: &Letter) -> Answer {
        self.try_post(letter).await.unwrap()
    }

    /// Sends a callback to a platform that may not be there any more.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn try_post(&self, letter: &Letter) -> reqwest::Result<Answer> {
        let headers = [
            ("x-partner-id", letter.partner.as_str()),
            ("x-partner-timestamp", letter.timestamp.as_str()),
            ("x-partner-signature", letter.signature.as_str()),
        ];
        let body = Some(letter.body.clone());
        self.api.try_call(Method::POST, PATH, &headers, body).await
    }

    /// Signs and sends.
    pub async fn tell(&self, body: &Value) -> Answer {
        let letter = self.sign(body.to_string().as_bytes(), self.clock.now());
        self.post(&letter).await
    }

    /// The callback about a dynamic code that a customer pays now.
    pub fn payment(&self, id: TransactionId, amount: i64) -> Letter {
        let now = self.clock.now();
        let body = success(id, amount, &reference(), now);
        self.sign(body.to_string().as_bytes(), now)
    }

    /// A customer pays a dynamic code now.
    pub async fn pays(&self, id: TransactionId, amount: i64) -> Answer {
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

/// The same with another status.
#[must_use]
pub fn but_status(mut body: Value, status: &str) -> Value {
    body["status"] = json!(status);
    body
}
