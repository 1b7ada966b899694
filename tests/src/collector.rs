//! An OpenTelemetry collector: takes traces (OTLP over HTTP, protobuf) and keeps them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use uuid::Uuid;

/// What a collector does with traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes them.
    Takes,
    /// Answers 500.
    Fails,
    /// Never answers.
    Hangs,
    /// Is not there.
    Absent,
}

type Received = Arc<Mutex<Vec<Span>>>;

/// A collector in this process.
pub struct Collector {
    /// For `otel.endpoint`.
    pub endpoint: String,
    received: Received,
}

impl Collector {
    /// Starts one on a free port.
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        if behaviour != Behaviour::Absent {
            let router = Router::new()
                .route("/v1/traces", post(receive))
                .with_state((behaviour, Arc::clone(&received)));
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        Self { endpoint, received }
    }

    /// Everything that it received.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.received).clone()
    }

    /// Everything that it received since this was last asked.
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut lock(&self.received))
    }

    /// The spans of one trace.
    pub fn trace(&self, id: Uuid) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == id.as_bytes());
        spans
    }
}

/// An attribute of a span as text; empty when it is missing.
pub fn attribute(span: &Span, key: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .and_then(|attribute| attribute.value.clone()?.value);
    match found {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

async fn receive(
    State((behaviour, received)): State<(Behaviour, Received)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    match behaviour {
        Behaviour::Takes => {}
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Fails | Behaviour::Absent => return StatusCode::INTERNAL_SERVER_ERROR,
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let of = resource.resource.unwrap_or_default();
        assert!(of.attributes.iter().any(|one| one.key == "service.name"));
        for scope in resource.scope_spans {
            lock(&received).extend(scope.spans);
        }
    }
    StatusCode::OK
}

fn lock(received: &Received) -> MutexGuard<'_, Vec<Span>> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}
