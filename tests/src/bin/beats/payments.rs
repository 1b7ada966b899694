//! Customers, at a steady rate.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::Utc;
use domain::partner_signature::{PartnerSecret, sign};
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::json;
use tests::api::Api;
use tests::server::Server;
use tests::shop::text;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::TransactionId;

use crate::fleet::{Customer, Fleet, Sent};
use crate::report::{Counters, Report};

/// A task that pays.
pub(crate) struct Payments(Option<JoinHandle<()>>);

/// What one payment needs.
#[derive(Clone)]
struct Till {
    acquirer: Api,
    partner: String,
    secret: Arc<PartnerSecret>,
    counters: Arc<Counters>,
    sent: Sent,
}

impl Payments {
    pub(crate) fn start(server: &Server, fleet: &Fleet, per_s: u32, report: &Report) -> Self {
        let (Some(per_s), false) = (NonZeroU32::new(per_s), fleet.customers.is_empty()) else {
            return Self(None);
        };
        let till = Till {
            acquirer: Api::new(&server.demo.api_url, &server.root_pem),
            partner: server.demo.qris_partner.id.clone(),
            secret: Arc::new(PartnerSecret::new(
                server.demo.qris_partner.secret.as_bytes(),
            )),
            counters: Arc::clone(&report.counters),
            sent: Arc::clone(&fleet.sent),
        };
        let customers = fleet.customers.clone();
        Self(Some(tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_s.get());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                let Some(customer) = customers.choose(&mut rand::rng()).cloned() else {
                    return;
                };
                tokio::spawn(till.clone().pay(customer));
            }
        })))
    }

    /// No more; what is on its way goes on.
    pub(crate) fn stop(self) {
        if let Some(task) = self.0 {
            task.abort();
        }
    }
}

impl Till {
    /// A code is asked for and paid.
    async fn pay(self, customer: Customer) {
        let key = format!("{:032x}", rand::random::<u128>());
        let body = json!({ "device_id": customer.device_id, "amount": 50_000, "currency": "IDR", "request_id": key });
        let headers = [("idempotency-key", key.as_str())];
        let path = "/device/transactions/dynamic-qr";
        let answer = customer.api.post_with(path, &headers, &body).await;
        if answer.status != 201 {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(id) = text(&answer.json(), "transaction_id").parse::<TransactionId>() else {
            return;
        };
        let body = json!({
            "event_id": format!("bench-{id}"), "transaction_id": id, "partner_reference": format!("bench-{id}"),
            "amount": 50_000, "currency": "IDR", "status": "success", "paid_at": now(),
        })
        .to_string()
        .into_bytes();
        let (timestamp, signature) = sign(&self.secret, now(), &body);
        let headers = [
            ("x-partner-id", self.partner.as_str()),
            ("x-partner-timestamp", &timestamp),
            ("x-partner-signature", &signature),
        ];
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Instant::now());
        let path = "/integrations/qris/callback";
        let answer = self
            .acquirer
            .call(Method::POST, path, &headers, Some(body))
            .await;
        if answer.status == 200 {
            self.counters.paid.fetch_add(1, Ordering::Relaxed);
        } else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program that measures the present"
)]
fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}
