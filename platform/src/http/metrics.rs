//! Health and numbers for those who operate the process, on a listener of their own: plain HTTP, no
//! tokens, not for the world.
//!
//! `/healthz`: the process is alive. `/readyz`: it can serve (the database answers and it is not
//! stopping). `/metrics`: Prometheus.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::{Connection, PgPool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::service::payment::stats;

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

/// How long the database may take to say that it is there.
const PING: Duration = Duration::from_secs(2);

/// What the answers are made from.
#[derive(Clone)]
pub struct Operations {
    /// The database.
    pub pool: PgPool,
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
        // For whoever opens the address without a path.
        .route("/", get(numbers))
        .with_state(operations)
}

async fn readyz(State(operations): State<Operations>) -> (StatusCode, &'static str) {
    if operations.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let ping = async { operations.pool.acquire().await?.ping().await };
    match timeout(PING, ping).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        ),
    }
}

async fn numbers(State(operations): State<Operations>) -> impl IntoResponse {
    operations.prometheus.run_upkeep();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        operations.prometheus.render(),
    )
}
