//! The acquirer's side of the callback contract: signed bodies in profile `hmac` or `snap`, or as another acquirer sends
//! them ([`dialect`]).

pub mod dialect;
pub mod issuer_api;
pub mod snap;

use std::time::Instant;

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::{Rupiah, TransactionId};

use self::snap::Snap;
use crate::api::{Api, ApiError};
use crate::clock;

/// The platform's route for callbacks.
const PATH: &str = "/integrations/qris/callback";

/// A callback of an acquirer about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The acquirer's id of the callback.
    pub event_id: String,
    /// The transaction of a dynamic QR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<TransactionId>,
    /// How the platform named the order, when that is not the transaction's id.
    #[serde(skip)]
    pub order_name: Option<String>,
    /// The merchant of a static QR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nmid: Option<String>,
    /// The terminal of a static QR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_label: Option<String>,
    /// The acquirer's reference of the payment.
    pub partner_reference: String,
    /// How much.
    pub amount: Rupiah,
    /// `IDR`.
    pub currency: String,
    /// `success`, `failed`, `expired` or `reversed`.
    pub status: String,
    /// When the customer paid.
    pub paid_at: String,
    /// The retrieval reference number (ISO 8583, field 37): 12 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A dynamic QR.
    Transaction(TransactionId),
    /// A dynamic QR, by the name that the platform gave the order.
    Order(String),
    /// A static QR.
    Static {
        /// The national merchant id.
        nmid: String,
        /// The terminal's label, if the QR has one.
        terminal_label: Option<String>,
    },
}

impl Callback {
    /// A callback with new ids.
    pub fn new(target: Target, amount: Rupiah, status: &str, paid_at: DateTime<Utc>) -> Self {
        let mut order_name = None;
        let (transaction_id, nmid, terminal_label) = match target {
            Target::Transaction(transaction_id) => (Some(transaction_id), None, None),
            Target::Order(name) => {
                let transaction_id = name.parse().ok();
                order_name = Some(name);
                (transaction_id, None, None)
            }
            Target::Static {
                nmid,
                terminal_label,
            } => (None, Some(nmid), terminal_label),
        };
        Self {
            event_id: clock::random_uuid().to_string(),
            transaction_id,
            order_name,
            nmid,
            terminal_label,
            partner_reference: format!("SIM{}", clock::random_uuid().simple()),
            amount,
            currency: "IDR".to_owned(),
            status: status.to_owned(),
            paid_at: wire::time::format(paid_at),
            rrn: Some(format!(
                "{:012}",
                rand::random_range(0..1_000_000_000_000_u64)
            )),
        }
    }
}

/// Signs and posts callbacks. It has no `Debug`: it holds the secret.
pub struct Partner {
    api: Api,
    id: String,
    profile: Profile,
}

/// The signature profile.
enum Profile {
    Hmac(Box<hmac::Key>),
    Snap(Box<Snap>),
    Dialect(Box<dialect::Acquirer>),
}

/// An accepted callback.
#[derive(Debug)]
pub struct Accepted {
    /// The server's answer.
    pub answer: Value,
    /// When the answer arrived, by this machine's clock.
    pub accepted_at: DateTime<Utc>,
    /// How long the request took, in milliseconds.
    pub callback_ms: u64,
}

impl Partner {
    /// A partner with profile `hmac`.
    pub fn new(api: Api, id: String, secret: &str) -> Self {
        Self {
            api,
            id,
            profile: Profile::Hmac(Box::new(hmac::Key::new(
                hmac::HMAC_SHA256,
                secret.as_bytes(),
            ))),
        }
    }

    /// A partner with profile `snap`.
    pub fn snap(api: Api, id: String, snap: Snap) -> Self {
        Self {
            api,
            id,
            profile: Profile::Snap(Box::new(snap)),
        }
    }

    /// A partner that speaks as this acquirer does.
    pub fn speaking(api: Api, id: String, acquirer: dialect::Acquirer) -> Self {
        Self {
            api,
            id,
            profile: Profile::Dialect(Box::new(acquirer)),
        }
    }

    /// The name of the acquirer's dialect.
    pub fn dialect(&self) -> &'static str {
        match &self.profile {
            Profile::Hmac(_) => "hmac",
            Profile::Snap(_) => "snap",
            Profile::Dialect(acquirer) => acquirer.name(),
        }
    }

    /// Posts a callback, signed now.
    pub async fn post(&self, callback: &Callback) -> Result<Accepted, ApiError> {
        let started = Instant::now();
        let answer = match &self.profile {
            Profile::Snap(snap) => snap.post(&self.api, &self.id, callback).await?,
            Profile::Dialect(acquirer) => acquirer.post(&self.api, &self.id, callback).await?,
            Profile::Hmac(key) => self.post_hmac(key, PATH, callback).await?,
        };
        let callback_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Accepted {
            answer,
            accepted_at: clock::now(),
            callback_ms,
        })
    }
}

impl Partner {
    /// Posts a body to a route of the platform, signed now with profile `hmac`.
    pub async fn post_to(&self, path: &str, body: &impl Serialize) -> Result<Value, ApiError> {
        match &self.profile {
            Profile::Hmac(key) => self.post_hmac(key, path, body).await,
            Profile::Snap(_) | Profile::Dialect(_) => Err(ApiError::Transport(
                "this partner does not sign with profile hmac".to_owned(),
            )),
        }
    }

    async fn post_hmac(
        &self,
        key: &hmac::Key,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Value, ApiError> {
        let body =
            serde_json::to_vec(body).map_err(|error| ApiError::Transport(error.to_string()))?;
        let timestamp = clock::now().timestamp().to_string();
        let signature = signature(key, &timestamp, &body);
        let headers = [
            ("x-partner-id", self.id.as_str()),
            ("x-partner-timestamp", timestamp.as_str()),
            ("x-partner-signature", signature.as_str()),
        ];
        self.api.post_bytes(path, None, &headers, body).await
    }
}

/// The signature of a body at a time: lower-case hex HMAC-SHA256 over `timestamp.body`.
fn signature(key: &hmac::Key, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    hex::encode(context.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_with_its_time() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let expected = "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signature(&key, "1700000000", br#"{"a":1}"#), expected);
    }

    #[test]
    fn a_static_payment_names_no_transaction() {
        let target = Target::Static {
            nmid: "ID1020000000001".to_owned(),
            terminal_label: Some("A1".to_owned()),
        };
        let callback = Callback::new(target, Rupiah::from_i64(1_000), "success", clock::now());
        let body = serde_json::to_value(&callback).unwrap();
        assert_eq!(body.get("transaction_id"), None);
        assert_eq!(body["nmid"], "ID1020000000001");
        assert_eq!(body["amount"], 1_000);
        assert_eq!(body["rrn"].as_str().unwrap().len(), 12);
    }
}
