//! The executor of TLS handshakes, which leaves the processors to the live sessions.
//!
//! A TLS handshake costs almost a millisecond of computing, and a fleet that reconnects at once makes thousands of them
//! ready at the same time. On the main executor they would all be queued before the next payment, and even one of them
//! would delay the next task of its thread. So they run on a few threads of their own, at low priority. A client that
//! stops halfway blocks none of them.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// The priority of its threads, as `nice(1)` counts.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

#[derive(Debug)]
pub(crate) struct HandshakeExecutor {
    handle: Handle,
    /// `Some` until it is shut down.
    runtime: Option<Runtime>,
}

impl HandshakeExecutor {
    /// Threads for half of the processors, so that the other half stays free for live sessions.
    ///
    /// # Errors
    /// When the system refuses to start threads.
    pub(crate) fn new() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads((processors / 2).max(1))
            .thread_name("handshakes");
        // Only Linux sets the priority of a single thread; elsewhere `nice` would lower the whole process.
        #[cfg(target_os = "linux")]
        builder.on_thread_start(|| {
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::debug!(%error, "handshakes run at normal priority");
            }
        });
        let runtime = builder.build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs `future` to its end. Its sockets and timers stay registered with the caller's executor. Dropping the call
    /// cancels `future`.
    pub(crate) async fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let mut future = Box::pin(future);
        let yielding = std::future::poll_fn(move |cx| {
            let turn = future.as_mut().poll(cx);
            // Even at low priority a thread may run until the end of its time slice of some milliseconds. One poll
            // takes a fraction of that.
            std::thread::yield_now();
            turn
        });
        match AbortOnDropHandle::new(self.handle.spawn(yielding)).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is stopping, and so is this task.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for HandshakeExecutor {
    fn drop(&mut self) {
        // Does not wait: waiting is forbidden inside a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_handshake_that_waits_for_its_client_delays_no_other() {
        let executor = Arc::new(HandshakeExecutor::new().unwrap());
        let mut answers = Vec::new();
        let mut waiting = Vec::new();
        // More than there are threads.
        for _ in 0..300 {
            let (answer, answered) = oneshot::channel::<()>();
            let executor = Arc::clone(&executor);
            answers.push(answer);
            waiting.push(tokio::spawn(async move { executor.run(answered).await }));
        }
        // The last to come is answered first, while the others wait.
        while let (Some(answer), Some(waiting)) = (answers.pop(), waiting.pop()) {
            answer.send(()).unwrap();
            waiting.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_cancelled_handshake_is_dropped() {
        let executor = HandshakeExecutor::new().unwrap();
        let (owned, dropped) = oneshot::channel::<()>();
        let never = async move {
            let _owned = owned;
            std::future::pending::<()>().await;
        };
        let run = tokio::time::timeout(std::time::Duration::from_millis(20), executor.run(never));
        assert!(run.await.is_err());
        assert!(dropped.await.is_err(), "it was dropped");
    }
}
