//! The bytes of request bodies in memory: limited in all, and for each address.
//!
//! A body counts from its first byte until its handler drops it. An address may hold as many bytes as are still free: one
//! address gets half of the budget, a second one half of the rest, and something is always left for the next. So a client
//! that sends many large bodies slowly does not block other addresses. Beyond the limit a request is refused with 503.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// The budget.
#[derive(Debug)]
pub(super) struct BodyBudget {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    /// By address; behind a proxy there are no addresses, and only the total is limited.
    addresses: HashMap<IpAddr, usize>,
}

impl BodyBudget {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
        }
    }

    fn take(&self, address: Option<IpAddr>, bytes: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.bytes_max.saturating_sub(state.bytes);
        let own = address.and_then(|address| state.addresses.get(&address).copied());
        if own.unwrap_or(0).saturating_add(bytes) > free {
            return false;
        }
        state.bytes += bytes;
        if let Some(address) = address {
            *state.addresses.entry(address).or_default() += bytes;
        }
        true
    }

    fn give_back(&self, address: Option<IpAddr>, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes -= bytes;
        if let Some(address) = address
            && let Some(own) = state.addresses.get_mut(&address)
        {
            *own -= bytes;
            if *own == 0 {
                state.addresses.remove(&address);
            }
        }
    }
}

/// The part of the budget that one body holds. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct BodyReservation {
    budget: Arc<BodyBudget>,
    address: Option<IpAddr>,
    bytes: usize,
    refused: bool,
}

impl BodyReservation {
    pub(super) fn none(budget: &Arc<BodyBudget>, address: Option<IpAddr>) -> Self {
        Self {
            budget: Arc::clone(budget),
            address,
            bytes: 0,
            refused: false,
        }
    }

    fn add(&mut self, bytes: usize) -> bool {
        if self.budget.take(self.address, bytes) {
            self.bytes += bytes;
        } else {
            self.refused = true;
        }
        !self.refused
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.budget.give_back(self.address, self.bytes);
    }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("the request bodies in memory have reached their limit")]
struct OverBudget;

/// A body that is counted while it is received.
pub(super) struct Counted {
    body: Body,
    reservation: Arc<Mutex<BodyReservation>>,
}

impl Counted {
    pub(super) fn new(body: Body, reservation: BodyReservation) -> (Self, Tally) {
        let reservation = Arc::new(Mutex::new(reservation));
        let tally = Tally(Arc::clone(&reservation));
        (Self { body, reservation }, tally)
    }
}

/// The reservation of a body, for its reader.
pub(super) struct Tally(Arc<Mutex<BodyReservation>>);

impl Tally {
    /// Whether the budget was used up.
    pub(super) fn was_refused(&self) -> bool {
        let reservation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reservation.refused
    }

    /// The body's bytes, which count until they are dropped.
    pub(super) fn keep_with(self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(Owner {
            bytes,
            _tally: self,
        })
    }
}

struct Owner {
    bytes: Bytes,
    _tally: Tally,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        let taken = length == 0
            || self
                .reservation
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(length);
        Poll::Ready(if taken {
            frame
        } else {
            Some(Err(axum::Error::new(OverBudget)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn no_address_takes_all_and_dropped_bodies_are_free_again() {
        let budget = Arc::new(BodyBudget::new(1_200));
        let fill = |address| {
            let mut reservation = BodyReservation::none(&budget, address);
            while reservation.add(10) {}
            reservation
        };
        let first = fill(ip(1));
        let second = fill(ip(2));
        let third = fill(ip(3));
        assert_eq!((first.bytes, second.bytes, third.bytes), (600, 300, 150));
        assert!(
            !BodyReservation::none(&budget, ip(1)).add(10),
            "over its limit"
        );
        assert!(
            BodyReservation::none(&budget, ip(4)).add(10),
            "room for the next"
        );
        drop(first);
        assert_eq!(fill(ip(1)).bytes, 380);
        drop((second, third));
        let state = budget.state.lock().unwrap();
        assert!(state.bytes == 0 && state.addresses.is_empty());
    }

    #[test]
    fn without_addresses_only_the_total_is_limited() {
        let budget = Arc::new(BodyBudget::new(100));
        let mut reservation = BodyReservation::none(&budget, None);
        assert!(reservation.add(100) && !reservation.add(1));
    }
}
