//! Handshakes take turns beside the sessions, so that a storm of them leaves the processors to those that are there already.
//!
//! A TLS handshake costs the better part of a millisecond of computing, and a fleet that comes back at once makes
//! thousands of them ready at the same time. Left to themselves they would all stand in the executor's queue before
//! the next payment, and even one of them would hold up what its thread was to do next. So they have an executor of
//! their own: a few threads, which give way to the others and hold none of a client that stops halfway.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// How far its threads stand back behind the others, as `nice(1)` counts.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

#[derive(Debug)]
pub(crate) struct Pace {
    executor: Handle,
    /// To be shut down; there until then.
    runtime: Option<Runtime>,
}

impl Pace {
    /// Threads for half of the processors: the others are there for who is connected already.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads((processors / 2).max(1))
            .thread_name("handshakes");
        // On Linux a thread is as nice as it says itself; elsewhere the whole process would be.
        #[cfg(target_os = "linux")]
        builder.on_thread_start(|| {
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::debug!(%error, "handshakes take the processors as the rest does");
            }
        });
        let runtime = builder.build()?;
        Ok(Self {
            executor: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Completes `future` in its turns. What it waits for is what it was made with, of the caller's executor.
    pub(crate) async fn keep<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let mut future = Box::pin(future);
        let giving_way = std::future::poll_fn(move |cx| {
            let turn = future.as_mut().poll(cx);
            // However low its priority, a thread may be left to finish its slice of some milliseconds. A turn is a
            // fraction of that.
            std::thread::yield_now();
            turn
        });
        match AbortOnDropHandle::new(self.executor.spawn(giving_way)).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is going down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        // Without waiting, which is forbidden where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
    use std::sync::Arc;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn who_always_has_more_to_do_lets_others_go_first() {
        assert!(turn_taken(false).now_or_never().is_none());
        assert!(turn_taken(true).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_client_holds_up_nobody() {
        let pace = Arc::new(Pace::new().unwrap());
        let mut answers = Vec::new();
        let mut waiting = Vec::new();
        // More than there are threads.
        for _ in 0..300 {
            let (answer, answered) = oneshot::channel::<()>();
            let pace = Arc::clone(&pace);
            answers.push(answer);
            waiting.push(tokio::spawn(async move { pace.keep(answered).await }));
        }
        // The last to come is answered first, while the others wait.
        while let (Some(answer), Some(waiting)) = (answers.pop(), waiting.pop()) {
            answer.send(()).unwrap();
            waiting.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn who_is_given_up_is_gone() {
        let pace = Pace::new().unwrap();
        let (held, gone) = oneshot::channel::<()>();
        let never = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let kept = tokio::time::timeout(std::time::Duration::from_millis(20), pace.keep(never));
        assert!(kept.await.is_err());
        assert!(gone.await.is_err(), "it was dropped");
    }
}
