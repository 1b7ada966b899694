//! The HTTP API.
//!
//! A handler is the API's side of one use case: its signature declares who may call it and what it
//! takes; its body begins a unit of work, calls the service and makes the answer. What all handlers
//! share is here and in the modules beside: callers ([`auth`]), bodies ([`json`]), ids in paths
//! ([`path`]), filters ([`query`], [`period`]), lists ([`page`]), repeated requests ([`idempotency`]), rate limits
//! ([`rate`]), the form of answers ([`envelope`]) and errors ([`error`]), sockets ([`listener`]).

mod alert;
pub mod auth;
mod body_budget;
pub mod csv;
mod done_or_proposed;
pub mod envelope;
pub mod error;
mod fleet;
mod from_device;
pub mod idempotency;
pub mod json;
pub mod language;
mod list_file;
pub mod listener;
pub mod metrics;
mod money;
mod node;
pub mod openapi;
pub mod operation;
pub mod page;
pub mod path;
mod payment;
mod people;
pub mod period;
pub mod qr_image;
pub mod query;
pub mod rate;
pub mod request;
mod rerun;
pub mod routes;
mod seed;
mod shop;
mod signed;
mod upload;
mod webhook;

pub use self::alert::alert_file;
pub use self::fleet::{device_file, drift_file, firmware_file, rollout_file, target_file};
pub use self::money::{
    approval_file, ledger_file, payout_file, reconciliation_file, reconciliations_file,
    settlement_file, statement_file, statement_page,
};
pub use self::payment::{
    callback_file, incident_file, partner_file, payment_file, unmatched_payment_file,
};
pub use self::people::{audit_file, token_file, user_file};
pub use self::shop::merchant_file;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use service::Context;
use service::availability::Availability;
use service::clock::Clock;
use store::outage::Outage;
use tower_http::catch_panic::CatchPanicLayer;

use self::body_budget::BodyBudget;
use self::error::{ApiError, ErrorCode};
use self::routes::{Endpoint, Routes};

/// Limits on requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body.
    pub body_bytes_max: usize,
    /// The bytes of all bodies that are in memory at a time.
    pub body_bytes_in_flight_max: usize,
    /// From the head of a request to its answer.
    pub request: Duration,
    /// Rate limits.
    pub rates: rate::Quotas,
}

/// The whole API, and `pages` for people beside it: limits, ids and headers are the same for both.
pub fn router(context: Context, limits: Limits, pages: Router) -> Router {
    let clock = context.clock().clone();
    let availability = Arc::clone(context.availability());
    let routes = routes()
        .into_router()
        .merge(payment::of_dialects(&context))
        .merge(openapi::router())
        .with_state(context)
        .merge(pages)
        .layer(middleware::from_fn_with_state(availability, note_outage));
    finish(routes, clock, limits)
}

/// All methods of all paths, with their descriptions.
pub fn endpoints() -> Vec<Endpoint> {
    routes().into_endpoints()
}

/// Each noun declares its own routes.
fn routes() -> Routes {
    shop::routes()
        .merge(fleet::routes())
        .merge(alert::routes())
        .merge(payment::routes())
        .merge(money::routes())
        .merge(people::routes())
        .merge(webhook::routes())
        .merge(node::routes())
        .merge(seed::routes())
}

/// Adds the middleware of every request, also of those without a route.
fn finish(routes: Router, clock: Clock, limits: Limits) -> Router {
    let rates = Arc::new(rate::Rates::new(limits.rates));
    let bodies = Arc::new(BodyBudget::new(limits.body_bytes_in_flight_max));
    // The last layer is the outermost: the id comes first, and appears in the answers of the others.
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(
            limits.body_bytes_max,
            rerun::rerun,
        ))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(Extension(bodies))
        .layer(middleware::from_fn_with_state(limits.request, limit_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(rates, rate::admit))
        .layer(middleware::from_fn(harden))
        .layer(middleware::from_fn_with_state(clock, request::identify))
}

async fn no_route() -> ApiError {
    ApiError::new(ErrorCode::RouteNotFound, "no such path")
}

async fn no_method() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "this path does not have that method",
    )
}

/// A panic ends only its own request; the database transaction is rolled back.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer asks for"
)]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    ApiError::internal(anyhow::anyhow!("a handler panicked: {text}")).into_response()
}

/// Ends a request that takes too long: receiving it, handling it, or waiting for the database.
async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable("the request took too long", None).into_response(),
    }
}

/// Records for readiness that the database refused a request.
async fn note_outage(
    State(availability): State<Arc<Availability>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(outage) = response.extensions().get::<Outage>() {
        availability.note(*outage);
    }
    response
}

/// Headers that keep a browser from interpreting answers as something else.
async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (CACHE_CONTROL, "no-store"),
        // Browsers heed it over HTTPS alone.
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        // A page that needs less strict ones has set its own.
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
