//! Rate limits: one for each principal, and one for each client address.
//!
//! Both are token buckets that hold one second's worth. One address, or one principal, never uses up another's.
//!
//! Behind a reverse proxy every client has the proxy's address; there the proxy has to limit addresses.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use broker::network_of;
use governor::Quota;
use service::Error;
use service::people::token::Principal;
use service::rate_limit::KeyedRateLimiter;

use super::error::ApiError;
use super::listener::Peer;

/// Requests per second; `None` for no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quotas {
    /// For each person, program or box.
    pub per_principal: Option<NonZeroU32>,
    /// For each client address.
    pub per_address: Option<NonZeroU32>,
    /// Whether the address of a connection is its client's; a proxy's is not.
    pub direct: bool,
}

/// The buckets.
pub(super) struct Rates {
    principals: Option<KeyedRateLimiter<String>>,
    addresses: Option<KeyedRateLimiter<IpAddr>>,
    direct: bool,
}

/// The client's network, for limits; in the extensions of a request. None behind a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Origin(pub Option<IpAddr>);

impl Rates {
    pub(super) fn new(quotas: Quotas) -> Self {
        Self {
            principals: quotas
                .per_principal
                .map(|rate| KeyedRateLimiter::new(Quota::per_second(rate))),
            addresses: quotas
                .per_address
                .map(|rate| KeyedRateLimiter::new(Quota::per_second(rate))),
            direct: quotas.direct,
        }
    }
}

/// Middleware: refuses a request of an address over its rate.
pub(super) async fn admit(
    State(rates): State<Arc<Rates>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = request
        .extensions()
        .get::<Peer>()
        .map(|peer| network_of(peer.address.ip()))
        .filter(|_| rates.direct);
    if let (Some(limiter), Some(address)) = (&rates.addresses, &address)
        && let Err(wait_s) = limiter.take(address)
    {
        return ApiError::from(refused("address", wait_s)).into_response();
    }
    request.extensions_mut().insert(Origin(address));
    request.extensions_mut().insert(rates);
    next.run(request).await
}

/// Refuses a caller that asks too often. Called as soon as it is known who it is.
///
/// # Errors
/// RATE_LIMITED.
pub fn admit_principal(extensions: &Extensions, principal: &Principal) -> Result<(), Error> {
    let limiter = extensions
        .get::<Arc<Rates>>()
        .and_then(|rates| rates.principals.as_ref());
    match limiter.map(|limiter| limiter.take(&principal.name())) {
        Some(Err(wait_s)) => Err(refused("principal", wait_s)),
        Some(Ok(())) | None => Ok(()),
    }
}

fn refused(by: &'static str, retry_after_s: u32) -> Error {
    metrics::counter!("http_rate_limited_total", "by" => by).increment(1);
    Error::RateLimited {
        message: "too many requests in a short time",
        retry_after_s,
    }
}
