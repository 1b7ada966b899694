//! Health and numbers for those who operate the process, on a listener of their own: plain HTTP, no
//! tokens, not for the world.
//!
//! `/healthz`: the process is alive. `/readyz`: it can serve (the database takes writes, it has its
//! lease and is not stopping). `/metrics`: Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use service::payment::stats;
use service::{Context, readiness};
use tokio_util::sync::CancellationToken;

/// Records from here on, for this whole process.
///
/// # Errors
/// Something records already.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let announcements = Matcher::Prefix(stats::HISTOGRAMS.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(announcements, &stats::BUCKETS_S)?
        .install_recorder()
}

/// What the answers are made from.
#[derive(Clone)]
pub struct Operations {
    /// What use cases stand on.
    pub context: Context,
    /// The numbers.
    pub prometheus: PrometheusHandle,
    /// Cancelled when the process is stopping.
    pub stop: CancellationToken,
}

/// The routes.
pub fn router(operations: Operations) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        // For a browser that opens the address without a path.
        .route("/", get(numbers))
        .with_state(operations)
}

async fn readyz(State(operations): State<Operations>) -> (StatusCode, String) {
    let node = operations.context.node();
    if node.is_draining() || operations.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match readiness::check(&operations.context).await {
        Ok(()) if node.incarnation() == 0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this process has no lease\n".to_owned(),
        ),
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(outage) => (StatusCode::SERVICE_UNAVAILABLE, format!("{outage}\n")),
    }
}

async fn numbers(State(operations): State<Operations>) -> impl IntoResponse {
    operations.prometheus.run_upkeep();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        operations.prometheus.render(),
    )
}
