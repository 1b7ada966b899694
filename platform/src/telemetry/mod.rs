//! Export of traces by OpenTelemetry's protocol (OTLP over HTTP), if `otel.endpoint` names a collector.
//!
//! Two kinds of spans are exported. Those of payments have the transaction's id as trace id
//! ([`service::payment::trace`]); all are exported. The spans of requests, uplinks, jobs and outbox rounds
//! ([`service::span`]) have traces of their own, of which `otel.sample` selects a share; a payment's span links to the one in
//! which it happened.
//!
//! | file | contents |
//! |---|---|
//! | `queue` | the bounded queue of spans, and the task that exports them |
//! | `payment` | the steps of payments, as spans |
//! | `naming` | names and attributes of the other spans, by OpenTelemetry's semantic conventions |

mod naming;
mod payment;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _};
use service::payment::trace::PaymentTracer;
use service::span;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Otel;

/// How long the export of one batch may take, with its repetitions.
const EXPORT_WITHIN: Duration = Duration::from_secs(5);
/// How long the export of what is left may take when the process stops.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// `service.name` of the exported spans.
const SERVICE: &str = "qris-soundbox-platform";

/// The running export.
#[derive(Debug)]
pub struct Telemetry {
    tracer: SdkTracer,
    payments: Arc<dyn PaymentTracer>,
    stop: CancellationToken,
    exporting: JoinHandle<()>,
}

impl Telemetry {
    /// Starts the export, in the current runtime; `None` without `otel.endpoint`. The collector need not be there.
    ///
    /// # Errors
    /// A client for HTTP that cannot be made.
    pub fn start(otel: &Otel, node: &str) -> anyhow::Result<Option<Self>> {
        if otel.endpoint.is_empty() {
            return Ok(None);
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(EXPORT_WITHIN)
            .build()?;
        let base = otel.endpoint.trim_end_matches('/');
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_endpoint(format!("{base}/v1/traces"))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_WITHIN)
            .build()
            .context("configuration: otel.endpoint")?;
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder()
            .with_service_name(SERVICE)
            .with_attribute(KeyValue::new("service.version", version))
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .build();
        exporter.set_resource(&resource);
        let (queue, spans) = queue::channel();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(version)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue.clone())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                otel.sample,
            ))))
            .with_resource(resource)
            .build();
        let stop = CancellationToken::new();
        Ok(Some(Self {
            tracer: provider.tracer_with_scope(scope.clone()),
            payments: Arc::new(payment::Tracer::new(queue, scope)),
            exporting: tokio::spawn(queue::run(exporter, spans, stop.clone())),
            stop,
        }))
    }

    /// The layer that takes the spans of [`service::span`], for the process's subscriber.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // Spans are checked each time they begin, never once for all: records of the crate `log` are checked by the same
        // filter without being dispatched, and their result would remain for the next span of the thread.
        let filter = dynamic_filter_fn(|metadata, _: &LayerContext<'_, S>| span::is_ours(metadata))
            .with_callsite_filter(|metadata| match span::is_ours(metadata) {
                true => Interest::sometimes(),
                false => Interest::never(),
            })
            .with_max_level_hint(LevelFilter::ERROR);
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(filter)
    }

    /// Where the steps of payments are reported.
    pub(crate) fn payments(&self) -> Arc<dyn PaymentTracer> {
        Arc::clone(&self.payments)
    }

    /// Exports what is left, for at most three seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(FLUSH_WITHIN, &mut self.exporting)
            .await
            .is_err()
        {
            self.exporting.abort();
            tracing::warn!(
                "the last spans were not exported: the collector did not take them in time"
            );
        }
    }
}

#[cfg(test)]
mod tests;
