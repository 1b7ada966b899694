//! The merchant of a scenario, with a terminal for each group of boxes, created through the admin API.

use std::path::Path;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::{DeviceId, MerchantId, OutletId, TerminalId, TransactionId};

use crate::api::{Api, ApiError};
use crate::clock;
use crate::credentials;

/// Requests at a time.
const AT_ONCE: usize = 8;

/// The most pages of notifications that are read for one box.
const PAGES_MAX: usize = 100;

const FILE: &str = "shop.json";

/// The admin API. It has no `Debug`: it holds a token.
pub struct Admin {
    /// The server.
    pub api: Api,
    /// An administrator's token.
    pub token: String,
}

/// The merchant of a scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Merchant {
    /// The server that it was created on.
    api_url: String,
    merchant_id: MerchantId,
    outlet_id: OutletId,
    /// What static QRs carry.
    pub nmid: String,
    /// Its terminals.
    pub terminals: Vec<Terminal>,
}

/// One terminal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Terminal {
    /// Its id.
    pub id: TerminalId,
    /// Its name in static QRs.
    pub label: String,
}

impl Merchant {
    /// Its id.
    pub fn id(&self) -> MerchantId {
        self.merchant_id
    }
}

impl Admin {
    /// Posts with a new idempotency key, and returns the answer's `data`.
    ///
    /// # Errors
    /// Anything but a 2xx with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let key = clock::random_uuid().to_string();
        let headers = [("idempotency-key", key.as_str())];
        let token = Some(self.token.as_str());
        let mut answer = self.api.post(path, token, &headers, body).await?;
        Ok(answer["data"].take())
    }

    /// The merchant that `dir` remembers, created if there is none, with at least this many terminals.
    pub async fn merchant(
        &self,
        dir: &Path,
        name: &str,
        terminals: usize,
    ) -> anyhow::Result<Merchant> {
        let file = dir.join(FILE);
        let mut merchant: Merchant = match std::fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| file.display().to_string())?
            }
            Err(_) => self
                .create(name)
                .await
                .context("cannot create the merchant")?,
        };
        anyhow::ensure!(
            merchant.api_url == self.api.base(),
            "the boxes in {} belong to {}; give another --dir",
            dir.display(),
            merchant.api_url
        );
        let missing = merchant.terminals.len()..terminals.max(merchant.terminals.len());
        let path = format!("/admin/outlets/{}/terminals", merchant.outlet_id);
        let more: Vec<Terminal> = stream::iter(missing)
            .map(|number| {
                let path = &path;
                async move {
                    let body = json!({ "name": format!("Terminal {}", number + 1) });
                    let made = self.post(path, &body).await?;
                    anyhow::Ok(Terminal {
                        id: text(&made, "id")?.parse()?,
                        label: text(&made, "terminal_label")?.to_owned(),
                    })
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("cannot create the terminals")?;
        merchant.terminals.extend(more);
        credentials::write(dir, FILE, &serde_json::to_vec_pretty(&merchant)?, 0o600)?;
        Ok(merchant)
    }

    async fn create(&self, name: &str) -> anyhow::Result<Merchant> {
        let merchant = json!({
            "legal_name": format!("Simulator {name}"),
            "brand_name": "Simulator",
            "settlement_account_reference": "bank:0000000000",
            "settlement_account_type": "merchant_bank_account",
            "payout_mode": "manual",
            "fee_profile_id": "fee_basic",
        });
        let made = self.post("/admin/merchants", &merchant).await?;
        let merchant_id: MerchantId = text(&made, "id")?.parse()?;
        let approve = format!("/admin/merchants/{merchant_id}/approve");
        let approved = self.post(&approve, &json!({})).await?;
        let outlet = json!({
            "name": "Simulator", "address": "Jalan Merdeka 1", "city": "JAKARTA", "postal_code": "10110",
        });
        let outlets = format!("/admin/merchants/{merchant_id}/outlets");
        let outlet = self.post(&outlets, &outlet).await?;
        Ok(Merchant {
            api_url: self.api.base().to_owned(),
            merchant_id,
            outlet_id: text(&outlet, "id")?.parse()?,
            nmid: text(&approved, "nmid")?.to_owned(),
            terminals: Vec::new(),
        })
    }

    /// Reads the box's notifications (transaction and status), newest first, until `enough` returns true.
    pub async fn notifications(
        &self,
        device_id: DeviceId,
        mut enough: impl FnMut(TransactionId, &str) -> bool,
    ) -> anyhow::Result<()> {
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/admin/devices/{device_id}/notifications?limit=200{cursor}");
            let page = self.api.get(&path, Some(&self.token)).await?;
            for one in page["data"].as_array().into_iter().flatten() {
                let transaction_id = text(one, "transaction_id")?.parse()?;
                if enough(transaction_id, text(one, "status")?) {
                    return Ok(());
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("the answer has no {field}"))
}
