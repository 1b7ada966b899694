//! The load: heartbeats of random boxes, and payments at the terminals of random boxes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rand::seq::IndexedRandom as _;
use serde_json::json;
use tests::acquirer::Acquirer;
use tests::server::Server;
use tests::text;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::boxes::{Live, now};

/// How many callbacks may be unanswered.
const CALLBACKS_MAX: usize = 64;

/// How much was sent.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) heartbeats: u64,
    pub(crate) payments: u64,
}

/// The running load.
pub(crate) struct Load {
    heartbeats: Arc<AtomicU64>,
    payments: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) async fn start(
        server: &Server,
        boxes: &[Live],
        rate: u32,
        payments: u32,
    ) -> anyhow::Result<Self> {
        let mut load = Self {
            heartbeats: Arc::default(),
            payments: Arc::default(),
            tasks: Vec::new(),
        };
        if rate > payments {
            let senders: Vec<_> = boxes.iter().map(Live::sender).collect();
            let count = Arc::clone(&load.heartbeats);
            load.tasks
                .push(tokio::spawn(heartbeat(senders, rate - payments, count)));
        }
        if payments > 0 {
            let merchant = server.demo.merchants.first().context("no merchant")?;
            let path = format!("/admin/merchants/{}", merchant.merchant_id);
            let merchant = server.api("admin")?.read(&path).await;
            let payer = Payer {
                acquirer: server.acquirer(),
                nmid: text(&merchant, "nmid"),
                labels: boxes
                    .iter()
                    .filter_map(|one| one.terminal_label.clone())
                    .collect(),
            };
            let count = Arc::clone(&load.payments);
            load.tasks.push(tokio::spawn(pay(payer, payments, count)));
        }
        Ok(load)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<Sent> {
        for task in self.tasks {
            if task.is_finished() {
                task.await.context("the load ended before its time")?;
            } else {
                task.abort();
            }
        }
        Ok(Sent {
            heartbeats: self.heartbeats.load(Ordering::Relaxed),
            payments: self.payments.load(Ordering::Relaxed),
        })
    }
}

async fn heartbeat(senders: Vec<mpsc::Sender<()>>, rate: u32, count: Arc<AtomicU64>) {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let chosen = senders.choose(&mut rand::rng());
        if chosen.is_some_and(|sender| sender.try_send(()).is_ok()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Pays static codes, so that no code has to be requested first.
struct Payer {
    acquirer: Acquirer,
    nmid: String,
    labels: Vec<String>,
}

async fn pay(payer: Payer, rate: u32, count: Arc<AtomicU64>) {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let slots = Arc::new(tokio::sync::Semaphore::new(CALLBACKS_MAX));
    loop {
        ticks.tick().await;
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let Some(label) = payer.labels.choose(&mut rand::rng()) else {
            return;
        };
        let reference = format!("bench-{:032x}", rand::random::<u128>());
        let body = json!({
            "event_id": reference,
            "nmid": payer.nmid,
            "terminal_label": label,
            "partner_reference": reference,
            "amount": 50_000,
            "currency": "IDR",
            "status": "success",
            "paid_at": now(),
        });
        let (acquirer, count) = (payer.acquirer.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            let answer = acquirer.send(&body).await;
            count.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
            drop(slot);
        });
    }
}
