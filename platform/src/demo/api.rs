//! A client of the public API that trusts the demonstration's CA only.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::{DeviceId, EventId, MerchantId, OutletId, Rupiah, TerminalId, TransactionId};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the server, with the administrator's token. It has no `Debug`: it holds that.
pub(super) struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// The demonstration data.
#[derive(Deserialize)]
pub(super) struct Seeded {
    pub(super) merchants: Vec<SeededMerchant>,
    pub(super) devices: Vec<SeededDevice>,
}

#[derive(Deserialize)]
pub(super) struct SeededMerchant {
    pub(super) merchant_id: MerchantId,
    pub(super) brand_name: String,
    pub(super) outlet_ids: Vec<OutletId>,
    pub(super) terminal_ids: Vec<TerminalId>,
}

#[derive(Deserialize)]
pub(super) struct SeededDevice {
    pub(super) device_id: DeviceId,
    pub(super) serial_number: String,
    pub(super) terminal_id: TerminalId,
    pub(super) activation_code: Option<String>,
}

/// A transaction with its notifications.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Transaction {
    pub(super) merchant_id: MerchantId,
    pub(super) amount: Rupiah,
    pub(super) status: String,
    pub(super) paid_at: Option<DateTime<Utc>>,
    pub(super) notifications: Vec<Notification>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Notification {
    pub(super) event_id: EventId,
    pub(super) transaction_id: TransactionId,
    pub(super) device_id: DeviceId,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) received_at: Option<DateTime<Utc>>,
    pub(super) acked_at: Option<DateTime<Utc>>,
    pub(super) announce_until: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

impl Api {
    /// A client of the server at `base`.
    ///
    /// # Errors
    /// A CA that cannot be read.
    pub(super) fn new(base: &str, ca_pem: &str, token: &str) -> anyhow::Result<Self> {
        let roots = certs::tls::roots_from_pem(ca_pem)?;
        let tls = certs::tls::client_config(roots, None, Vec::new())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("platform-demo/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base: base.to_owned(),
            token: token.to_owned(),
        })
    }

    /// Creates the demonstration data unless it exists.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub(super) async fn seed(&self, devices: u32) -> anyhow::Result<Seeded> {
        let body = json!({ "devices": devices });
        self.call(Method::POST, "/admin/seed", Some(body)).await
    }

    /// A new activation code for a box whose key is lost.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub(super) async fn renew_activation_code(
        &self,
        device_id: DeviceId,
    ) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Renewed {
            activation_code: String,
        }
        let path = format!("/admin/devices/{device_id}/activation-code");
        let renewed: Renewed = self.call(Method::POST, &path, Some(json!({}))).await?;
        Ok(renewed.activation_code)
    }

    /// A transaction and its notifications.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub(super) async fn transaction(&self, id: TransactionId) -> anyhow::Result<Transaction> {
        self.call(Method::GET, &format!("/admin/transactions/{id}"), None)
            .await
    }

    /// The latest notifications of a box, newest first.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub(super) async fn notifications(
        &self,
        device_id: DeviceId,
    ) -> anyhow::Result<Vec<Notification>> {
        let path = format!("/admin/devices/{device_id}/notifications?limit=200");
        self.call(Method::GET, &path, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        let what = format!("{method} {path}");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| what.clone())?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| what.clone())?;
        if !status.is_success() {
            return Err(refused(status, &bytes).context(what));
        }
        let answer: Envelope<T> = serde_json::from_slice(&bytes)
            .with_context(|| format!("{what}: the answer is not in the expected form"))?;
        Ok(answer.data)
    }
}

fn refused(status: StatusCode, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => anyhow::anyhow!(
            "the server refused: {} ({}): {}",
            refusal.code,
            status.as_u16(),
            refusal.message
        ),
        Err(_) => anyhow::anyhow!("the server answered {status}"),
    }
}
