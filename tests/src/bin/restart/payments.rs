//! Payments at a steady rate, each repeated until it is answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use device_sim::link::timing::backoff;
use rand::seq::IndexedRandom as _;
use tests::acquirer::Acquirer;
use tests::api::Answer;
use tests::provision::Provisioned;
use tests::server::Server;
use tests::text;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use wire::TransactionId;

use crate::tally::Tally;

/// How long an answer is waited for before the request is repeated.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
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
    let code = answered(tally, || customer.request_code(&key)).await?;
    let id: TransactionId = text(&code.json(), "transaction_id").parse().ok()?;
    let callback = acquirer.payment(id, 50_000);
    answered(tally, || acquirer.try_post(&callback)).await?;
    tally.answered(id);
    Some(())
}

/// Repeats a request until it is answered 2xx, or refused.
async fn answered<F>(tally: &Tally, request: impl Fn() -> F) -> Option<Answer>
where
    F: Future<Output = reqwest::Result<Answer>>,
{
    let mut failures = 0;
    loop {
        match timeout(ANSWERED_WITHIN, request()).await {
            Ok(Ok(answer)) if (200..300).contains(&answer.status) => return Some(answer),
            Ok(Ok(answer)) if answer.status < 500 && answer.status != 429 => {
                eprintln!("refused: {answer}");
                return None;
            }
            _ => {}
        }
        tally.repeated();
        sleep(backoff(failures)).await;
        failures = failures.saturating_add(1);
    }
}
