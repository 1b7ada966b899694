//! What boxes send and is stored in batches, each answered when its batch is durable: heartbeats, payment acknowledgements,
//! and the CONNECTs and ends of their sessions.
//!
//! A batch is what arrived while the one before was being committed: no added delay at low load, few commits at high
//! load. Payment acknowledgements have a batcher of their own and never wait behind heartbeats. An uplink that cannot be
//! stored fails alone; the others of its batch are stored.

use std::future::Future;

use broker::Unavailable;
use service::batch::{Outcome, Part, isolate};
use service::fleet::heartbeat;
use service::fleet::session::{self, Connect, Ending, Opened};
use service::payment::notification;
use service::span;
use service::{Context, Error};
use store::fleet::heartbeat::Beat;
use store::payment::notification::Ack;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How many uplinks a batcher queues; beyond it devices wait longer for their PUBACK.
const QUEUE_MAX: usize = 8192;
/// How many are stored at once.
const BATCH_MAX: usize = 1000;

/// The result of one uplink: stored, or impossible to store, with the reason.
pub(super) type Stored<R> = Result<R, String>;

/// The answer to one uplink.
type Answer<R> = Result<Stored<R>, Unavailable>;

struct Queued<T, R> {
    item: T,
    answer: oneshot::Sender<Answer<R>>,
}

/// The sending side of one batcher.
pub(super) struct UplinkBatcher<T, R>(mpsc::Sender<Queued<T, R>>);

impl<T: Send + Sync + 'static, R: Send + 'static> UplinkBatcher<T, R> {
    /// Waits until the item's batch is durable.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not.
    pub(super) async fn store(&self, item: T) -> Answer<R> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Queued { item, answer })
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
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tasks.spawn(run(name, store, receiver, stop.clone()));
        Self(sender)
    }
}

async fn run<T, R, S, F>(
    name: &'static str,
    store: S,
    mut queue: mpsc::Receiver<Queued<T, R>>,
    stop: CancellationToken,
) where
    S: Fn(Part<T>) -> F,
    F: Future<Output = Result<Vec<R>, Error>>,
{
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            received = queue.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
        }
        let (items, answers): (Vec<T>, Vec<_>) = batch
            .drain(..)
            .map(|queued| (queued.item, queued.answer))
            .unzip();
        metrics::histogram!("uplink_batch_items", "batcher" => name)
            .record(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        let span = span::uplink_batch(name, items.len());
        let outcomes = isolate(items, &store).instrument(span).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
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
    /// Payment acknowledgements; `false` for an event that is not the device's.
    pub(super) payment_acks: UplinkBatcher<Ack, bool>,
    /// CONNECTs; none for one that is not admitted.
    pub(super) connects: UplinkBatcher<Connect, Option<Opened>>,
    /// Ends of sessions.
    pub(super) endings: UplinkBatcher<Ending, ()>,
}

impl UplinkBatchers {
    pub(super) fn start(context: &Context, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let [heartbeats, acks, connects, endings] = std::array::from_fn(|_| context.clone());
        let beat = move |batch: Part<Beat>| {
            let context = heartbeats.clone();
            async move {
                heartbeat::store_batch(&context, &batch).await?;
                Ok(vec![(); batch.len()])
            }
        };
        let acknowledge = move |batch: Part<Ack>| {
            let context = acks.clone();
            async move { notification::acknowledge(&context, context.payments(), &batch).await }
        };
        let admit = move |batch: Part<Connect>| {
            let context = connects.clone();
            async move { session::admit(&context, &batch).await }
        };
        let end = move |batch: Part<Ending>| {
            let context = endings.clone();
            async move {
                session::end(&context, &batch).await?;
                Ok(vec![(); batch.len()])
            }
        };
        Self {
            heartbeats: UplinkBatcher::start("heartbeat", beat, tasks, stop),
            payment_acks: UplinkBatcher::start("payment_ack", acknowledge, tasks, stop),
            connects: UplinkBatcher::start("connect", admit, tasks, stop),
            endings: UplinkBatcher::start("session_end", end, tasks, stop),
        }
    }
}
