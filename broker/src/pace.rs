//! Handshakes take turns beside the sessions, so that a storm of them leaves the processors to those that are there already.
//!
//! A TLS handshake costs the better part of a millisecond of computing, and a fleet that comes back at once makes
//! thousands of them ready at the same time. Left to themselves they would all stand in the executor's queue before
//! the next payment, and even one of them would hold up what its thread was to do next. So each computes on a thread of
//! its own kind, while it holds one of a few turns, handed on in the order of arrival; it holds none while it waits for
//! its client: neither a storm nor a client that stops halfway keeps others waiting.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;

#[derive(Debug)]
pub(crate) struct Pace(Semaphore);

impl Pace {
    /// Turns for half of the processors: the others are there for who is connected already.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Semaphore::new((processors / 2).max(1)))
    }

    /// Completes `future`, which computes only in its turns.
    pub(crate) async fn keep<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let woken = Arc::new(Woken::default());
        let mut future = Box::pin(future);
        loop {
            // Never closed, and if it were, unpaced is better than never.
            let turn = self.0.acquire().await;
            let waker = Waker::from(Arc::clone(&woken));
            let computed = spawn_blocking(move || {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                (future, polled)
            });
            let (unfinished, polled) = match computed.await {
                Ok(computed) => computed,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The executor is being shut down, and this task with it.
                    Err(_) => std::future::pending().await,
                },
            };
            drop(turn);
            if let Poll::Ready(output) = polled {
                return output;
            }
            future = unfinished;
            woken.0.notified().await;
        }
    }
}

/// Remembers a wake-up until somebody waits for it.
#[derive(Debug, Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// A turn of a session is over. One that did not wait for anything lets the others go first, so that a client that
/// sends without end costs them a few KiB's worth of time, and not what the executor's own patience allows.
pub(crate) async fn turn_taken(waited: bool) {
    if !waited {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn who_always_has_more_to_do_lets_others_go_first() {
        assert!(turn_taken(false).now_or_never().is_none());
        assert!(turn_taken(true).now_or_never().is_some());
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
