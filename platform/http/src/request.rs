//! The current request: its id, clock and caller, available everywhere in its handling.
//!
//! A task-local, because errors become answers in places that see neither the request nor the state
//! (extractors, fallbacks, the panic handler), and every answer names its request.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use service::clock::Clock;
use service::span;
use tokio::time::Instant;
use tracing::Instrument as _;

/// The header that carries a request's id, in both directions.
pub(super) const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const REQUEST_ID_LEN_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<Current>;
}

/// The current request.
#[derive(Debug)]
struct Current {
    id: String,
    clock: Clock,
    principal: OnceLock<String>,
}

/// The id of the current request; empty outside of any.
pub fn id() -> String {
    CURRENT
        .try_with(|current| current.id.clone())
        .unwrap_or_default()
}

/// The current time by the clock of the request.
pub(super) fn now() -> DateTime<Utc> {
    CURRENT
        .try_with(|current| current.clock.now())
        .unwrap_or(DateTime::UNIX_EPOCH)
}

/// Records the caller, for the access log.
pub fn set_principal(name: &str) {
    let _ = CURRENT.try_with(|current| current.principal.set(name.to_owned()));
}

/// Runs `work` as the handling of a request with this id.
async fn handle<F: Future>(current: Arc<Current>, work: F) -> F::Output {
    CURRENT.scope(current, work).await
}

/// Middleware, outermost: gives the request its id and its span, returns the id, and writes one line to the
/// access log when the answer is ready.
pub(super) async fn identify(
    State(clock): State<Clock>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let from_client = request
        .headers()
        .get(REQUEST_ID_HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_sane(id))
        .map(str::to_owned);
    let id = from_client.unwrap_or_else(|| format!("req_{}", clock.uuid().simple()));
    let header = HeaderValue::from_str(&id).ok();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "-".to_owned(), |path| path.as_str().to_owned());
    request.headers_mut().remove(REQUEST_ID_HEADER);
    let current = Arc::new(Current {
        id,
        clock,
        principal: OnceLock::new(),
    });
    let span = span::request(&current.id, &route);
    let handled = handle(Arc::clone(&current), next.run(request));
    let mut response = handled.instrument(span.clone()).await;
    if let Some(header) = header {
        response.headers_mut().insert(REQUEST_ID_HEADER, header);
    }
    let elapsed = started.elapsed();
    let method_label = label(&method);
    span::set_answer(&span, method_label, response.status().as_u16());
    metrics::histogram!("http_request_seconds", "route" => route.clone(), "method" => method_label)
        .record(elapsed);
    let _entered = span.enter();
    tracing::info!(
        target: "access",
        request_id = current.id,
        principal = current.principal.get().map_or("-", String::as_str),
        %method,
        route,
        status = response.status().as_u16(),
        latency_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
    );
    response
}

/// The method as a metric label. Clients can invent methods, and each label value costs memory for good.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Whether a client's id may appear in logs and answers.
fn is_sane(id: &str) -> bool {
    (1..=REQUEST_ID_LEN_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_sane;

    #[test]
    fn ids_from_outside_are_short_and_plain() {
        for good in ["a", "req_001", "0190-aa.b", &"x".repeat(64)] {
            assert!(is_sane(good), "{good}");
        }
        for wrong in ["", "a b", "a\"b", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_sane(wrong), "{wrong}");
        }
    }
}
