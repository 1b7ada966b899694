//! Payments at a steady rate, each repeated until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::acquirer::Acquirer;
use crate::provision::Provisioned;
use crate::repeat::until_answered;
use crate::text;
use anyhow::Context as _;
use rand::seq::IndexedRandom as _;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;
use wire::TransactionId;

use super::tally::Tally;

/// How long the last payments may take until they are answered.
const FINISHED_WITHIN: Duration = Duration::from_secs(60);

/// A task that pays.
pub struct Payments {
    pace: JoinHandle<()>,
    unfinished: TaskTracker,
}

impl Payments {
    /// Pays random ones of these boxes, so many a second. Callbacks go to the acquirers in turn, and a repetition to the next.
    pub fn start(
        acquirers: Vec<Acquirer>,
        boxes: Vec<Provisioned>,
        rate: u32,
        tally: &Arc<Tally>,
    ) -> Self {
        let (acquirers, tally) = (Arc::new(acquirers), Arc::clone(tally));
        let unfinished = TaskTracker::new();
        let tracker = unfinished.clone();
        let pace = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                let Some(customer) = boxes.choose(&mut rand::rng()).cloned() else {
                    return;
                };
                let (acquirers, tally) = (Arc::clone(&acquirers), Arc::clone(&tally));
                tracker.spawn(async move {
                    if pay(&customer, &acquirers, &tally).await.is_none() {
                        tally.refused();
                    }
                });
            }
        });
        Self { pace, unfinished }
    }

    /// Starts no more, and waits until those that were started are answered.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.pace.abort();
        self.unfinished.close();
        timeout(FINISHED_WITHIN, self.unfinished.wait())
            .await
            .with_context(|| format!("{} payments have no answer", self.unfinished.len()))
    }
}

/// Requests a code and pays it; `None` when either was refused.
async fn pay(customer: &Provisioned, acquirers: &[Acquirer], tally: &Tally) -> Option<()> {
    let key = format!("{:032x}", rand::random::<u128>());
    let code = until_answered(|| customer.request_code(&key), || tally.repeated()).await?;
    let id: TransactionId = text(&code.json(), "transaction_id").parse().ok()?;
    let callback = acquirers.first()?.payment(id, 50_000);
    let turn = AtomicUsize::new(rand::random_range(0..acquirers.len()));
    let post = || {
        let place = turn.fetch_add(1, Ordering::Relaxed) % acquirers.len();
        let (acquirer, callback) = (acquirers[place].clone(), callback.clone());
        async move { acquirer.try_post(&callback).await }
    };
    until_answered(post, || tally.repeated()).await?;
    tally.answered(id);
    Some(())
}
