//! Tests of the queue and of the names.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use tokio_util::sync::CancellationToken;

use super::queue::{self, QUEUE_MAX};
use super::{EXPORT_WITHIN, naming};

fn span(name: &'static str, attributes: Vec<KeyValue>) -> SpanData {
    let (trace_id, id) = (TraceId::from(1_u128), SpanId::from(1_u64));
    SpanData {
        span_context: SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: std::time::SystemTime::UNIX_EPOCH,
        end_time: std::time::SystemTime::UNIX_EPOCH,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

/// Counts what it exports; hangs or fails if so configured.
#[derive(Debug, Clone, Default)]
struct Exporter {
    exported: Arc<Mutex<Vec<usize>>>,
    hangs: bool,
    fails: bool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.hangs {
            pending::<()>().await;
        }
        self.exported.lock().unwrap().push(batch.len());
        match self.fails {
            true => Err(OTelSdkError::InternalFailure("no".to_owned())),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_what_is_in_it_is_exported_at_the_end() {
    let (queue, spans) = queue::channel();
    for _ in 0..QUEUE_MAX + 10 {
        queue.submit(span("x", Vec::new()));
    }
    assert_eq!(queue.lost(), 10);
    let (exporter, stop) = (Exporter::default(), CancellationToken::new());
    stop.cancel();
    queue::run(exporter.clone(), spans, stop).await;
    let batches = exporter.exported.lock().unwrap().clone();
    assert_eq!(batches.iter().sum::<usize>(), QUEUE_MAX);
    assert!(batches.iter().all(|batch| *batch <= 512), "{batches:?}");
    queue.submit(span("x", Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn batches_that_fail_or_hang_are_given_up_and_the_next_follow() {
    for (hangs, fails) in [(true, false), (false, true)] {
        let (queue, spans) = queue::channel();
        for _ in 0..600 {
            queue.submit(span("x", Vec::new()));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        let exporter = Exporter {
            hangs,
            fails,
            ..Exporter::default()
        };
        let began = tokio::time::Instant::now();
        queue::run(exporter, spans, stop).await;
        assert!(began.elapsed() <= EXPORT_WITHIN * 3);
        // The first loss was logged, and what followed within a minute is still to be.
        assert_eq!(queue.lost(), 600 - 512);
    }
}

#[tokio::test]
async fn a_lone_span_does_not_wait_for_others() {
    let (queue, spans) = queue::channel();
    let (exporter, stop) = (Exporter::default(), CancellationToken::new());
    let running = tokio::spawn(queue::run(exporter.clone(), spans, stop.clone()));
    let began = Instant::now();
    queue.submit(span("x", Vec::new()));
    while exporter.exported.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert!(began.elapsed().as_secs() < 20);
    }
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn names_follow_the_conventions() {
    let text = |key: &'static str, value: &'static str| KeyValue::new(key, value);
    let named = |name, attributes| {
        let mut span = span(name, attributes);
        naming::apply(&mut span);
        span
    };
    let request = named(
        "request",
        vec![
            text("route", "/admin/merchants/{merchant_id}"),
            text("http.request.method", "GET"),
            KeyValue::new("http.response.status_code", 503),
        ],
    );
    assert_eq!(request.name, "GET /admin/merchants/{merchant_id}");
    assert_eq!(request.span_kind, SpanKind::Server);
    assert!(matches!(request.status, Status::Error { .. }));
    assert_eq!(request.attributes[0].key.as_str(), "http.route");
    let unknown = named(
        "request",
        vec![text("route", "-"), text("http.request.method", "other")],
    );
    assert_eq!((&*unknown.name, unknown.status), ("HTTP", Status::Unset));
    let job = named("job", vec![text("job", "end_stale")]);
    assert_eq!(job.name, "job end_stale");
    let uplink = named("uplink", vec![text("channel", "heartbeat")]);
    assert_eq!(
        (&*uplink.name, uplink.span_kind),
        ("uplink heartbeat", SpanKind::Consumer)
    );
}
