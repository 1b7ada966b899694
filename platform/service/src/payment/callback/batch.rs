//! Payments that arrive at the same time, committed together.
//!
//! What a payment costs the database is mostly the statements and the commit, so that many together cost little more than
//! one. A callback that says that a code of ours was paid waits in a bounded queue. A worker takes what is there, without
//! waiting for more, judges each by the same rule as one alone ([`CallbackHandler::decide`]) and writes all of them by the
//! same statements ([`pay`]). A callback that is not the plain case (it contradicts something, comes twice in the batch,
//! its reference was seen before) is set aside, and is then applied alone by whoever received it. When a batch cannot be
//! written, it is halved until the callback that cannot is alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::callback::{Callback, CallbackStatus, CallbackTarget};
use domain::transaction::{Decision, ReferenceView, TransactionStatus};
use serde_json::Value;
use store::payment::transaction::Transaction;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Span;
use wire::ids::{CallbackId, MerchantId, TransactionId};

use super::Receipt;
use super::consequence::{Paid, pay};
use super::judgement::CallbackHandler;
use super::verified::Verified;
use crate::batch::{Outcome, Part, isolate};
use crate::{Actor, Context, Error, Result, span};

/// How many payments one batch has at most. Measured: more only make each wait longer.
const BATCH_MAX: usize = 32;

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
    id: CallbackId,
    partner_id: String,
    route: String,
    headers: Value,
    body: Box<[u8]>,
    received_at: DateTime<Utc>,
    verified_at: DateTime<Utc>,
    callback: Callback,
    /// Of the request.
    span: Span,
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
        verified: Verified<'_>,
        callback: &Callback,
    ) -> Result<Option<Receipt>> {
        let CallbackTarget::Transaction { id, .. } = &callback.target else {
            return Ok(None);
        };
        if callback.status != CallbackStatus::Success {
            return Ok(None);
        }
        let success = Success {
            transaction_id: *id,
            id: verified.id,
            partner_id: verified.partner_id.to_owned(),
            route: verified.route.to_owned(),
            headers: verified.headers.clone(),
            body: verified.body.into(),
            received_at: verified.received_at,
            verified_at: verified.verified_at,
            callback: callback.clone(),
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
                drop(receiver);
                work(&context, waiting).await;
            }
        };
        futures_util::future::join_all((0..workers.max(1)).map(|_| worker())).await;
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

/// Applies those that are the plain case, in one transaction; the others get none.
async fn apply_together(
    context: &Context,
    successes: &[Arc<Success>],
) -> Result<Vec<Option<Receipt>>> {
    let mut unit = context.begin(Actor::system()).await?;
    let handlers: Vec<CallbackHandler<'_>> = successes
        .iter()
        .map(|success| CallbackHandler::new(&unit, success.verified(), &success.callback))
        .collect();
    let references: Vec<_> = handlers.iter().map(CallbackHandler::reference).collect();
    let named: Vec<TransactionId> = successes.iter().map(|one| one.transaction_id).collect();
    store::payment::transaction::lock_references(unit.conn(), &references).await?;
    let candidates =
        store::payment::transaction::lock_named_or_referred(unit.conn(), &named, &references)
            .await?;
    let kept = store::payment::incident::with_kept(unit.conn(), &references).await?;

    let (named, once) = (counted(&named), counted(&references));
    let mut plain: Vec<(usize, &Transaction)> = Vec::with_capacity(handlers.len());
    for (place, (success, handler)) in successes.iter().zip(&handlers).enumerate() {
        let reference = handler.reference();
        let is_alone = named.get(&success.transaction_id) == Some(&1)
            && once.get(&reference) == Some(&1)
            && !kept.iter().any(|kept| usize::try_from(*kept) == Ok(place));
        let mut about = candidates.iter().filter(|candidate| {
            candidate.partner_id == reference.partner_id
                && (candidate.id == success.transaction_id
                    || candidate.partner_reference.as_deref() == Some(reference.reference))
        });
        if let (true, Some(transaction), None) = (is_alone, about.next(), about.next())
            && transaction.id == success.transaction_id
        {
            plain.push((place, transaction));
        }
    }
    let payments: Vec<(MerchantId, DateTime<Utc>)> = plain
        .iter()
        .filter_map(|(place, transaction)| {
            let handler = handlers.get(*place)?;
            Some((transaction.merchant_id, handler.time.at))
        })
        .collect();
    let payees = store::payment::payee::of_merchants(unit.conn(), &payments).await?;

    let mut receipts: Vec<Option<Receipt>> = Vec::new();
    receipts.resize_with(handlers.len(), || None);
    let mut paid = Vec::with_capacity(plain.len());
    for ((place, transaction), payee) in plain.into_iter().zip(&payees) {
        let place = (
            handlers.get(place),
            receipts.get_mut(place),
            successes.get(place),
        );
        let (Some(handler), Some(receipt), Some(success)) = place else {
            continue;
        };
        let decision = handler.decide(&unit, transaction, payee, ReferenceView::default())?;
        if let Decision::Paid { late } = decision {
            let accepted = Receipt {
                verdict: "accepted",
                transaction_id: Some(transaction.id),
                status: Some(TransactionStatus::Paid),
            };
            success.span.in_scope(|| {
                span::set_transaction(transaction.id);
                span::set_merchant(transaction.merchant_id);
                handler.trace(&mut unit, &accepted);
            });
            *receipt = Some(accepted);
            paid.push(Paid {
                handler,
                transaction,
                payee,
                late,
            });
        }
    }
    if !paid.is_empty() {
        pay(&mut unit, &paid).await?;
        drop(paid);
        unit.commit().await?;
    }
    Ok(receipts)
}

impl Success {
    fn verified(&self) -> Verified<'_> {
        Verified {
            id: self.id,
            partner_id: &self.partner_id,
            route: &self.route,
            headers: &self.headers,
            body: &self.body,
            received_at: self.received_at,
            verified_at: self.verified_at,
        }
    }
}

/// How often each is there.
fn counted<T: Copy + Eq + Hash>(items: &[T]) -> HashMap<T, usize> {
    let mut counts = HashMap::with_capacity(items.len());
    for item in items {
        *counts.entry(*item).or_default() += 1;
    }
    counts
}
