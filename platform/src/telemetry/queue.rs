//! The bounded queue of spans, and the task that exports them in batches.
//!
//! Payments never wait for it: a span that does not fit is dropped and counted, and so is a batch that the collector does
//! not take in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{EXPORT_WITHIN, naming};

/// How many spans wait for their export; each is about a kilobyte.
pub(super) const QUEUE_MAX: usize = 8192;
/// How many spans are exported at once.
const BATCH_MAX: usize = 512;
/// How long a span waits for others of its batch.
const BATCH_AFTER: Duration = Duration::from_secs(1);
/// How often failures are logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The sending side.
#[derive(Debug, Clone)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

/// The receiving side.
pub(super) struct Spans {
    spans: mpsc::Receiver<SpanData>,
    /// Spans that were dropped and are not logged yet.
    lost: Arc<AtomicU64>,
}

pub(super) fn channel() -> (SpanQueue, Spans) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let lost = Arc::default();
    let queue = SpanQueue {
        spans: sender,
        lost: Arc::clone(&lost),
    };
    let spans = Spans {
        spans: receiver,
        lost,
    };
    (queue, spans)
}

impl SpanQueue {
    /// Queues a span, or drops it when the queue is full.
    pub(super) fn submit(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            count_dropped("queue_full", 1);
        }
    }

    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if span.span_context.is_sampled() {
            naming::apply(&mut span);
            self.submit(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Exports spans until `stop`, and then what is queued.
pub(super) async fn run(exporter: impl SpanExporter, mut queue: Spans, stop: CancellationToken) {
    let mut batch = Vec::new();
    let mut logged: Option<Instant> = None;
    loop {
        let goes_on = tokio::select! {
            goes_on = gather(&mut queue.spans, &mut batch) => goes_on,
            () = stop.cancelled(), if !queue.spans.is_closed() => {
                queue.spans.close();
                continue;
            }
        };
        if !goes_on {
            return;
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let exporting = exporter.export(std::mem::take(&mut batch));
        let problem = match timeout(EXPORT_WITHIN, exporting).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the collector did not answer in time".to_owned()),
        };
        match &problem {
            None => metrics::counter!("otel_spans_exported_total").increment(count),
            Some(_) => {
                queue.lost.fetch_add(count, Ordering::Relaxed);
                count_dropped("not_exported", count);
            }
        }
        let is_due = logged.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if is_due && queue.lost.load(Ordering::Relaxed) > 0 {
            logged = Some(Instant::now());
            let lost = queue.lost.swap(0, Ordering::Relaxed);
            let problem = problem.unwrap_or_else(|| "the queue was full".to_owned());
            tracing::warn!(lost, problem, "spans were not exported to otel.endpoint");
        }
    }
}

/// Waits for spans and fills `batch`. `false`: the queue is closed and there are no more. May be cancelled.
async fn gather(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) -> bool {
    if batch.is_empty() && spans.recv_many(batch, BATCH_MAX).await == 0 {
        return false;
    }
    let fill = async {
        while batch.len() < BATCH_MAX && spans.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {
        }
    };
    // What is there after this time is the batch.
    let _ = timeout(BATCH_AFTER, fill).await;
    true
}

fn count_dropped(reason: &'static str, count: u64) {
    metrics::counter!("otel_spans_dropped_total", "reason" => reason).increment(count);
}
