//! Handshakes take turns, so that a storm of them leaves the processors to the sessions that are there already.
//!
//! A TLS handshake costs the better part of a millisecond of computing, and a fleet that comes back at once makes
//! thousands of them ready at the same time. Left to themselves they would all stand in the executor's queue before
//! the next payment. So each may compute only while it holds one of a few turns, handed on in the order of arrival, and
//! holds none while it waits for its client: neither a storm nor a client that stops halfway keeps others waiting.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Pace(Semaphore);

impl Pace {
    /// Turns for half of the processors: the others are there for who is connected already.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Semaphore::new((processors / 2).max(1)))
    }

    /// Completes `future`, which computes only in its turns.
    pub(crate) async fn keep<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            // Never closed, and if it were, unpaced is better than never.
            let turn = self.0.acquire().await;
            let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = polled {
                return output;
            }
            until_woken().await;
        }
    }
}

/// Turns that a session may take in a row while there is always more to do.
const TURNS_MAX: u8 = 4;

/// Counts the turns that a session takes without waiting for anything, so that a client that sends without end lets the
/// others go first every few KiB, and not only when the executor's own patience is at its end (30 times as many).
#[derive(Debug, Default)]
pub(crate) struct Turns(u8);

impl Turns {
    /// A turn is over, for which the session `waited` or not.
    pub(crate) async fn taken(&mut self, waited: bool) {
        self.0 = if waited { 0 } else { self.0 + 1 };
        if self.0 >= TURNS_MAX {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Completes at the next wake-up of this task, whoever caused it: the poll before has left its waker everywhere that
/// matters.
async fn until_woken() {
    let mut woken = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut woken, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn who_always_has_more_to_do_lets_others_go_first() {
        let mut turns = Turns::default();
        for _ in 0..3 {
            for _ in 1..TURNS_MAX {
                assert!(turns.taken(false).now_or_never().is_some());
            }
            assert!(turns.taken(false).now_or_never().is_none());
        }
        for _ in 0..3 * TURNS_MAX {
            assert!(turns.taken(true).now_or_never().is_some());
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_client_holds_up_nobody() {
        let pace = Arc::new(Pace(Semaphore::new(1)));
        let mut answers = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let (answer, answered) = oneshot::channel::<()>();
            let pace = Arc::clone(&pace);
            answers.push(answer);
            waiting.push(tokio::spawn(async move { pace.keep(answered).await }));
        }
        // The last to come is answered first, while the others hold no turn.
        for _ in 0..3 {
            answers.pop().unwrap().send(()).unwrap();
            waiting.pop().unwrap().await.unwrap().unwrap();
        }
    }
}
