//! Payments at a steady rate.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rand::seq::IndexedRandom as _;
use tests::acquirer::Acquirer;
use tests::provision::Provisioned;
use tests::server::Server;
use tests::text;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::TransactionId;

use crate::fleet::{Fleet, Sent};
use crate::report::{Counters, Report};

/// A task that pays.
pub(crate) struct Payments(Option<JoinHandle<()>>);

/// What one payment needs.
#[derive(Clone)]
struct Payer {
    acquirer: Acquirer,
    counters: Arc<Counters>,
    sent: Sent,
}

impl Payments {
    pub(crate) fn start(server: &Server, fleet: &Fleet, per_s: u32, report: &Report) -> Self {
        let (Some(per_s), false) = (NonZeroU32::new(per_s), fleet.customers.is_empty()) else {
            return Self(None);
        };
        let payer = Payer {
            acquirer: server.acquirer(),
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
                tokio::spawn(payer.clone().pay(customer));
            }
        })))
    }

    /// Starts no more; running ones go on.
    pub(crate) fn stop(self) {
        if let Some(task) = self.0 {
            task.abort();
        }
    }
}

impl Payer {
    /// Requests a code and pays it.
    async fn pay(self, customer: Provisioned) {
        let key = format!("{:032x}", rand::random::<u128>());
        let Ok(answer) = customer.request_code(&key).await else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if answer.status != 201 {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(id) = text(&answer.json(), "transaction_id").parse::<TransactionId>() else {
            return;
        };
        let request = self.acquirer.payment(id, 50_000);
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Instant::now());
        let answer = self.acquirer.post(&request).await;
        if answer.status == 200 {
            self.counters.paid.fetch_add(1, Ordering::Relaxed);
        } else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}
