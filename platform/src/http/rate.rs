//! How often one may ask: each principal for itself, and each client address for itself.
//!
//! Both are token buckets (GCRA) that hold one second's worth. A bucket is forgotten once it is full again, so
//! memory follows the callers of the last second, whatever addresses they invent. One address, or one principal,
//! never uses up another's.
//!
//! Behind a reverse proxy every client has the proxy's address; there the limit by address is the proxy's affair.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Request, State};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::error::ApiError;
use super::listener::Peer;
use crate::service::Error;
use crate::service::people::token::Principal;

/// After how many requests full buckets are looked for and forgotten.
const SWEEP_EVERY: u32 = 4096;

/// Requests per second; `None` for no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quotas {
    /// For each person, program or box.
    pub per_principal: Option<NonZeroU32>,
    /// For each client address.
    pub per_address: Option<NonZeroU32>,
}

/// The buckets.
pub(super) struct Rates {
    principals: Option<Limiter<String>>,
    addresses: Option<Limiter<IpAddr>>,
}

/// Where a request came from, as far as limits are concerned; in its extensions. None behind a proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(pub(super) Option<IpAddr>);

impl Rates {
    pub(super) fn new(quotas: Quotas) -> Self {
        Self {
            principals: quotas
                .per_principal
                .map(|rate| Limiter::new(rate, DefaultClock::default())),
            addresses: quotas
                .per_address
                .map(|rate| Limiter::new(rate, DefaultClock::default())),
        }
    }
}

/// Middleware: lets a request in unless its address asks too often.
pub(super) async fn admit(
    State(rates): State<Arc<Rates>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = request
        .extensions()
        .get::<Peer>()
        .map(|peer| network(peer.address.ip()))
        .filter(|_| rates.addresses.is_some());
    if let (Some(limiter), Some(address)) = (&rates.addresses, &address)
        && let Err(wait_s) = limiter.take(address)
    {
        return refused("address", wait_s).into_response();
    }
    request.extensions_mut().insert(Origin(address));
    request.extensions_mut().insert(rates);
    next.run(request).await
}

/// Refuses a caller that asks too often. Called as soon as it is known who it is.
///
/// # Errors
/// RATE_LIMITED.
pub(super) fn admit_principal(
    extensions: &Extensions,
    principal: &Principal,
) -> Result<(), ApiError> {
    let limiter = extensions
        .get::<Arc<Rates>>()
        .and_then(|rates| rates.principals.as_ref());
    match limiter.map(|limiter| limiter.take(&principal.name())) {
        Some(Err(wait_s)) => Err(refused("principal", wait_s)),
        Some(Ok(())) | None => Ok(()),
    }
}

fn refused(by: &'static str, retry_after_s: u32) -> ApiError {
    metrics::counter!("http_rate_limited_total", "by" => by).increment(1);
    Error::RateLimited {
        message: "too many requests in a short time",
        retry_after_s,
    }
    .into()
}

/// What counts as one address: whoever has an IPv6 address has the whole /64 around it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

/// One bucket for each key.
struct Limiter<K: Clone + Eq + Hash, C: Clock = DefaultClock> {
    buckets: RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    taken: AtomicU32,
}

impl<K: Clone + Eq + Hash, C: Clock + Clone> Limiter<K, C> {
    fn new(per_second: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(per_second);
        Self {
            buckets: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            clock,
            taken: AtomicU32::new(0),
        }
    }

    /// Takes one from this key's bucket, or says after how many seconds there will be one.
    fn take(&self, key: &K) -> Result<(), u32> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.buckets.retain_recent();
        }
        self.buckets.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            u32::try_from(wait.as_secs())
                .unwrap_or(u32::MAX)
                .saturating_add(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter<K: Clone + Eq + Hash>(
        per_second: u32,
    ) -> (Limiter<K, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (
            Limiter::new(NonZeroU32::new(per_second).unwrap(), clock.clone()),
            clock,
        )
    }

    #[test]
    fn one_caller_never_uses_up_anothers_share() {
        let (limiter, clock) = limiter(3);
        for _ in 0..3 {
            assert_eq!(limiter.take(&"a"), Ok(()));
        }
        assert_eq!(limiter.take(&"a"), Err(1));
        assert_eq!(limiter.take(&"b"), Ok(()));
        clock.advance(Duration::from_millis(334));
        assert_eq!(limiter.take(&"a"), Ok(()));
        assert_eq!(limiter.take(&"a"), Err(1));
    }

    #[test]
    fn whoever_has_not_asked_for_a_second_is_forgotten() {
        let (limiter, clock) = limiter(1000);
        for caller in 0..3 * SWEEP_EVERY {
            let _ = limiter.take(&caller);
        }
        clock.advance(Duration::from_secs(1));
        for _ in 0..SWEEP_EVERY {
            let _ = limiter.take(&0);
        }
        assert_eq!(limiter.buckets.len(), 1);
    }

    #[test]
    fn a_household_is_one_address() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
    }
}
