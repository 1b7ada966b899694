//! Payments that arrive at the same time, committed together.
//!
//! What a payment costs the database is mostly the statements and the commit, so that many together cost little more
//! than one. A callback of any profile that says that a code of ours was paid waits in a bounded queue. A worker takes what is there;
//! only while another commits several at once it waits for a few more. It judges each by the same rule as one alone ([`CallbackHandler::decide`]) and writes all of
//! them by the same statements ([`pay`]). A callback that is not the plain case (it contradicts something, comes twice
//! in the batch, its reference or its X-EXTERNAL-ID was seen before) is set aside, and is then applied alone by the task that received it.
//! When a batch cannot be written, it is halved until the callback that cannot is alone.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use domain::callback::{Callback, CallbackStatus, CallbackTarget};
use domain::transaction::{Decision, ReferenceView, RefundView, TransactionStatus};
use store::payment::external_id::{Answered, ExternalId};
use store::payment::success::Claim;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use wire::ids::{CallbackId, TransactionId};

use super::Receipt;
use super::consequence::{Paid, pay};
use super::handler::CallbackHandler;
use super::receiver::Arrival;
use crate::batch::{Outcome, Part, isolate};
use crate::{Actor, Context, Error, Result, UnitOfWork, span};

/// How many payments one batch has at most. Measured: more only make each wait longer.
const BATCH_MAX: usize = 32;
/// While several payments are being committed, a batch of fewer than this waits for more, until they are committed or
/// [`GATHER_MAX`] is over: two small batches cost Postgres a third more than one.
const GATHERED: usize = 16;
const GATHER_MAX: Duration = Duration::from_millis(5);

/// The queue, where callbacks are put in.
#[derive(Debug)]
pub struct PaymentQueue {
    sender: mpsc::Sender<Waiting>,
}

/// The queue's other end.
#[derive(Debug)]
pub struct PaymentBatches {
    receiver: mpsc::Receiver<Waiting>,
}

/// A queue in which at most `waiting_max` callbacks wait.
pub fn queue(waiting_max: usize) -> (PaymentQueue, PaymentBatches) {
    let (sender, receiver) = mpsc::channel(waiting_max.max(1));
    (PaymentQueue { sender }, PaymentBatches { receiver })
}

/// A verified callback that says that a transaction was paid.
#[derive(Debug)]
struct Success {
    transaction_id: TransactionId,
    arrival: Arrival,
    callback: Callback,
    once: Option<Once>,
    /// Of the request.
    span: Span,
}

/// The same message under the same X-EXTERNAL-ID gets the same answer (SNAP BI).
#[derive(Debug)]
pub(super) struct Once {
    pub(super) external_id: String,
    /// What is answered when the payment is taken.
    pub(super) answered: Answered,
}

#[derive(Debug)]
struct Waiting {
    success: Arc<Success>,
    /// None: it is to be applied alone.
    reply: oneshot::Sender<Option<Receipt>>,
}

impl PaymentQueue {
    /// Has a callback applied together with others. `None`: it is to be applied alone, because it is not the plain case or
    /// no worker runs.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full.
    pub(super) async fn apply(
        &self,
        arrival: &Arrival,
        callback: &Callback,
        once: impl FnOnce() -> Option<Once>,
    ) -> Result<Option<Receipt>> {
        let CallbackTarget::Transaction { id, .. } = callback.target else {
            return Ok(None);
        };
        if callback.status != CallbackStatus::Success {
            return Ok(None);
        }
        let success = Success {
            transaction_id: id,
            arrival: arrival.clone(),
            callback: callback.clone(),
            once: once(),
            span: Span::current(),
        };
        let (reply, replied) = oneshot::channel();
        let waiting = Waiting {
            success: Arc::new(success),
            reply,
        };
        match self.sender.try_send(waiting) {
            Ok(()) => {
                metrics::gauge!("payments_waiting").increment(1.0);
                Ok(replied.await.ok().flatten())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(None),
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("payment_queue_full_total").increment(1);
                Err(Error::Overloaded)
            }
        }
    }
}

impl PaymentBatches {
    /// Applies what waits, in `workers` batches at a time, until `stop`; what waits then is still applied.
    pub async fn run(self, context: Context, workers: usize, stop: CancellationToken) {
        let receiver = Mutex::new(self.receiver);
        let under_way = watch::Sender::new(0);
        let worker = || async {
            loop {
                let mut waiting = Vec::with_capacity(BATCH_MAX);
                let mut receiver = receiver.lock().await;
                tokio::select! {
                    biased;
                    taken = receiver.recv_many(&mut waiting, BATCH_MAX) => if taken == 0 {
                        return;
                    },
                    () = stop.cancelled() => receiver.close(),
                }
                gather(&mut receiver, &mut waiting, under_way.subscribe()).await;
                drop(receiver);
                let neighbours = waiting.len().saturating_sub(1);
                under_way.send_modify(|all| *all += neighbours);
                let batch = span::payment_batch(waiting.len());
                work(&context, waiting).instrument(batch).await;
                under_way.send_modify(|all| *all -= neighbours);
            }
        };
        futures_util::future::join_all((0..workers.max(1)).map(|_| worker())).await;
    }
}

/// Adds to a batch what arrives while other batches are under way in which payments have neighbours. Beside lone payments
/// nothing waits: at a low rate that would only delay it.
async fn gather<T>(
    receiver: &mut mpsc::Receiver<T>,
    waiting: &mut Vec<T>,
    mut under_way: watch::Receiver<usize>,
) {
    let enough = async {
        while waiting.len() < GATHERED {
            let room = BATCH_MAX - waiting.len();
            if receiver.recv_many(waiting, room).await == 0 {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _ = under_way.wait_for(|neighbours| *neighbours == 0) => {}
        () = enough => {}
        () = sleep(GATHER_MAX) => {}
    }
}

async fn work(context: &Context, waiting: Vec<Waiting>) {
    if waiting.is_empty() {
        return;
    }
    let size = waiting.len() as f64;
    metrics::gauge!("payments_waiting").decrement(size);
    metrics::histogram!("payment_batch_size").record(size);
    let successes = waiting.iter().map(|one| Arc::clone(&one.success)).collect();
    let apply = |part: Part<Arc<Success>>| async move { apply_together(context, &part).await };
    let outcomes = isolate(successes, apply).await;
    for (one, outcome) in waiting.into_iter().zip(outcomes) {
        let receipt = match outcome {
            Outcome::Done(receipt) => receipt,
            // Alone it fails again, and then its error is known and it is archived as failed.
            Outcome::Failed(_) | Outcome::Unavailable => None,
        };
        // A caller that has hung up repeats its callback, and then learns that it is a duplicate.
        let _ = one.reply.send(receipt);
    }
}

/// One of a batch while it is applied.
struct Member<'a> {
    success: &'a Success,
    handler: CallbackHandler<'a>,
}

impl<'a> Member<'a> {
    fn new(unit: &UnitOfWork, success: &'a Success) -> Self {
        let verified = success.arrival.verified(CallbackId::from_uuid(unit.uuid()));
        Self {
            success,
            handler: CallbackHandler::new(unit, verified, &success.callback),
        }
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            reference: self.handler.reference(),
            transaction_id: self.success.transaction_id,
            paid_at: self.handler.time.at,
        }
    }

    fn external_id(&self) -> Option<ExternalId<'_>> {
        let once = self.success.once.as_ref()?;
        Some(self.handler.message.external_id(&once.external_id))
    }

    /// What is kept under its X-EXTERNAL-ID.
    fn answer(&self) -> Option<(ExternalId<'_>, &Answered, CallbackId)> {
        let once = self.success.once.as_ref()?;
        Some((self.external_id()?, &once.answered, self.handler.message.id))
    }
}

/// Applies those that are the plain case, in one transaction; the others get none.
async fn apply_together(
    context: &Context,
    successes: &[Arc<Success>],
) -> Result<Vec<Option<Receipt>>> {
    let mut unit = context.begin_in_worker(Actor::system()).await?;
    let members: Vec<Member<'_>> = successes
        .iter()
        .map(|success| Member::new(&unit, success))
        .collect();
    let external_ids: Vec<ExternalId<'_>> =
        members.iter().filter_map(Member::external_id).collect();
    let seen = lock_external_ids(&mut unit, &external_ids).await?;
    let claims: Vec<Claim<'_>> = members.iter().map(Member::claim).collect();
    let references: Vec<_> = claims.iter().map(|claim| claim.reference).collect();
    store::payment::transaction::lock_references(unit.conn(), &references).await?;
    let payable = store::payment::success::lock(unit.conn(), &claims).await?;
    let once = times_each(references.into_iter());
    let named = times_each(claims.iter().map(|one| one.transaction_id));

    let mut receipts: Vec<Option<Receipt>> = successes.iter().map(|_| None).collect();
    let (mut paid, mut taken) = (Vec::new(), Vec::new());
    for (((member, claim), payable), receipt) in
        members.iter().zip(&claims).zip(&payable).zip(&mut receipts)
    {
        let handler = &member.handler;
        let Some(payable) = payable else { continue };
        if once.get(&claim.reference) != Some(&1)
            || named.get(&claim.transaction_id) != Some(&1)
            || member.external_id().is_some_and(|id| seen.contains(&id))
        {
            continue;
        }
        let (transaction, payee) = (&payable.transaction, &payable.payee);
        let (nothing, none) = (ReferenceView::default(), RefundView::default());
        let decision = handler.decide(&unit, transaction, payee, nothing, none)?;
        let Decision::Paid { late } = decision else {
            continue;
        };
        let accepted = Receipt {
            verdict: "accepted",
            transaction_id: Some(transaction.id),
            status: Some(TransactionStatus::Paid),
        };
        member.success.span.in_scope(|| {
            span::set_transaction(transaction.id);
            span::set_merchant(transaction.merchant_id);
            handler.trace(&mut unit, &accepted);
        });
        *receipt = Some(accepted);
        taken.extend(member.answer());
        paid.push(Paid {
            handler,
            transaction,
            payee,
            listeners: &payable.listeners,
            late,
        });
    }
    if !paid.is_empty() {
        unit.decided();
        pay(&mut unit, &paid).await?;
        if !taken.is_empty() {
            store::payment::external_id::insert(unit.conn(), &taken).await?;
        }
        unit.commit().await?;
    }
    Ok(receipts)
}

/// Locks external ids and returns those that were seen before, or are here more than once.
async fn lock_external_ids<'a>(
    unit: &mut UnitOfWork,
    ids: &[ExternalId<'a>],
) -> Result<HashSet<ExternalId<'a>>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    store::payment::external_id::lock(unit.conn(), ids).await?;
    let before = store::payment::external_id::find(unit.conn(), ids).await?;
    let times = times_each(ids.iter().copied());
    let seen = ids
        .iter()
        .zip(before)
        .filter(|(id, before)| before.is_some() || times.get(id).is_some_and(|times| *times > 1));
    Ok(seen.map(|(id, _)| *id).collect())
}

/// How often each is there.
fn times_each<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut times = HashMap::new();
    for item in items {
        *times.entry(item).or_default() += 1;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of one, beside which so many are committed as neighbours; what it has gathered, and after how long.
    async fn gathered(
        neighbours: usize,
        then: impl AsyncFnOnce(&mpsc::Sender<u32>, &watch::Sender<usize>),
    ) -> (usize, Duration) {
        let (sender, mut receiver) = mpsc::channel(64);
        let under_way = watch::Sender::new(neighbours);
        let (mut batch, began) = (vec![0], tokio::time::Instant::now());
        let gathering = gather(&mut receiver, &mut batch, under_way.subscribe());
        tokio::join!(gathering, then(&sender, &under_way));
        (batch.len(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_beside_lone_ones_does_not_wait() {
        let (size, after) = gathered(0, async |_, _| {}).await;
        assert_eq!((size, after), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_gathers_until_its_neighbours_are_committed() {
        let later = Duration::from_millis(2);
        let (size, after) = gathered(3, async |sender, under_way| {
            sender.send(1).await.unwrap();
            sleep(later).await;
            under_way.send_replace(0);
        })
        .await;
        assert_eq!((size, after), (2, later));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_large_enough_does_not_wait() {
        let (size, after) = gathered(3, async |sender, _| {
            for number in 1..40 {
                sender.send(number).await.unwrap();
            }
        })
        .await;
        assert!((GATHERED..=BATCH_MAX).contains(&size), "{size}");
        assert_eq!(after, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_hangs_holds_up_the_next_for_a_few_milliseconds() {
        let (size, after) = gathered(3, async |_, _| {}).await;
        assert_eq!((size, after), (1, GATHER_MAX));
    }
}
