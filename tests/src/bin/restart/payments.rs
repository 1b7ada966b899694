//! Payments at a steady rate, each repeated until it is answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::seq::IndexedRandom as _;
use tests::acquirer::Acquirer;
use tests::provision::Provisioned;
use tests::repeat::until_answered;
use tests::server::Server;
use tests::text;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;
use wire::TransactionId;

use crate::tally::Tally;

/// How long the last payments may take until they are answered.
const FINISHED_WITHIN: Duration = Duration::from_secs(60);

/// A task that pays.
pub(crate) struct Payments {
    pace: JoinHandle<()>,
    unfinished: TaskTracker,
}

impl Payments {
    pub(crate) fn start(
        server: &Server,
        boxes: Vec<Provisioned>,
        rate: u32,
        tally: &Arc<Tally>,
    ) -> Self {
        let (acquirer, tally) = (server.acquirer(), Arc::clone(tally));
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
                let (acquirer, tally) = (acquirer.clone(), Arc::clone(&tally));
                tracker.spawn(async move {
                    if pay(&customer, &acquirer, &tally).await.is_none() {
                        tally.refused();
                    }
                });
            }
        });
        Self { pace, unfinished }
    }

    /// Starts no more, and waits until those that were started are answered.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.pace.abort();
        self.unfinished.close();
        timeout(FINISHED_WITHIN, self.unfinished.wait())
            .await
            .with_context(|| format!("{} payments have no answer", self.unfinished.len()))
    }
}

/// Requests a code and pays it; `None` when either was refused.
async fn pay(customer: &Provisioned, acquirer: &Acquirer, tally: &Tally) -> Option<()> {
    let key = format!("{:032x}", rand::random::<u128>());
    let code = until_answered(|| customer.request_code(&key), || tally.repeated()).await?;
    let id: TransactionId = text(&code.json(), "transaction_id").parse().ok()?;
    let callback = acquirer.payment(id, 50_000);
    until_answered(|| acquirer.try_post(&callback), || tally.repeated()).await?;
    tally.answered(id);
    Some(())
}
