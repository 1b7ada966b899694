//! UplinkBatchers: uplinks that are stored in batches, each answered when its batch is durable.
//!
//! A batcher takes whatever has arrived while the batch before was being committed, so it adds no wait
//! when there is little to do and commits seldom when there is much. Payment acknowledgements have a
//! batcher of their own and never wait behind heartbeats. An uplink that cannot be stored fails alone, and the others of its
//! batch are stored.

use std::future::Future;

use broker::Unavailable;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::batch::{Outcome, Part, isolate};
use crate::service::fleet::heartbeat;
use crate::service::payment::notification;
use crate::service::{Context, Error};
use crate::store::fleet::heartbeat::Beat;
use crate::store::payment::notification::Ack;

/// How many uplinks may wait in a batcher; beyond it the boxes' PUBACKs are withheld.
const WAITING_MAX: usize = 8192;
/// How many are stored at once.
const BATCH_MAX: usize = 1000;

/// What became of one uplink: stored, or impossible to store, with the reason.
pub(super) type Stored<R> = Result<R, String>;

/// The answer to one uplink.
type Answer<R> = Result<Stored<R>, Unavailable>;

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<Answer<R>>,
}

/// One batcher's entrance.
pub(super) struct UplinkBatcher<T, R>(mpsc::Sender<Waiting<T, R>>);

impl<T: Send + Sync + 'static, R: Send + 'static> UplinkBatcher<T, R> {
    /// Waits until the item's batch is durable.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not.
    pub(super) async fn store(&self, item: T) -> Answer<R> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Waiting { item, answer })
            .await
            .map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)?
    }

    fn start<S, F>(
        name: &'static str,
        store: S,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self
    where
        S: Fn(Part<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<R>, Error>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tasks.spawn(run(name, store, receiver, stop.clone()));
        Self(sender)
    }
}

async fn run<T, R, S, F>(
    name: &'static str,
    store: S,
    mut waiting: mpsc::Receiver<Waiting<T, R>>,
    stop: CancellationToken,
) where
    S: Fn(Part<T>) -> F,
    F: Future<Output = Result<Vec<R>, Error>>,
{
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            received = waiting.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
        }
        let (items, answers): (Vec<T>, Vec<_>) = batch
            .drain(..)
            .map(|waiting| (waiting.item, waiting.answer))
            .unzip();
        metrics::histogram!("uplink_batch_items", "batcher" => name)
            .record(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        for (answer, outcome) in answers.into_iter().zip(isolate(items, &store).await) {
            let _ = answer.send(match outcome {
                Outcome::Done(result) => Ok(Ok(result)),
                Outcome::Failed(error) => {
                    metrics::counter!("uplinks_impossible_total", "batcher" => name).increment(1);
                    Ok(Err(error.to_string()))
                }
                Outcome::Unavailable => Err(Unavailable),
            });
        }
    }
}

/// All batchers.
pub(super) struct UplinkBatchers {
    /// Heartbeats.
    pub(super) heartbeats: UplinkBatcher<Beat, ()>,
    /// Payment acknowledgements; `false` for an event that is not the box's.
    pub(super) payment_acks: UplinkBatcher<Ack, bool>,
}

impl UplinkBatchers {
    pub(super) fn start(context: &Context, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let beats = context.clone();
        let acks = context.clone();
        Self {
            heartbeats: UplinkBatcher::start(
                "heartbeat",
                move |batch: Part<Beat>| {
                    let context = beats.clone();
                    async move {
                        heartbeat::store_batch(&context, &batch).await?;
                        Ok(vec![(); batch.len()])
                    }
                },
                tasks,
                stop,
            ),
            payment_acks: UplinkBatcher::start(
                "payment_ack",
                move |batch: Part<Ack>| {
                    let context = acks.clone();
                    async move {
                        let foreign = notification::acknowledge(&context, &batch).await?;
                        Ok(batch
                            .iter()
                            .map(|ack| !foreign.contains(&ack.event_id))
                            .collect())
                    }
                },
                tasks,
                stop,
            ),
        }
    }
}
