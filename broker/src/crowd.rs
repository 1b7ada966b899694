//! Who holds how many connections: the caps on all of them, on those of one address, and on strangers.
//!
//! A stranger is a connection that has not been admitted yet. Strangers are few and bounded, because anybody can be
//! one; and they are shared out fairly among addresses: when there is no room for another, the address that holds the
//! most of them gives up its oldest, if the newcomer's holds fewer. So an address that opens connections and stays
//! silent fills the room only as long as nobody else needs it, and a fleet that comes back through one address keeps
//! the handshakes that it has begun.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::limits::Limits;

/// An IPv6 client has a whole /64 to choose from, so that is what counts as one address.
pub(crate) fn address(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[derive(Debug)]
pub(crate) struct Crowd {
    connections_max: usize,
    per_address_max: usize,
    strangers_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    strangers: usize,
    /// The number of the next stranger, so that the oldest has the lowest.
    next: u64,
    addresses: HashMap<IpAddr, Held>,
}

/// What one address holds.
#[derive(Debug, Default)]
struct Held {
    connections: usize,
    strangers: usize,
    /// Those strangers that can be asked to leave.
    displaceable: BTreeMap<u64, CancellationToken>,
}

impl Crowd {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            strangers_max: limits.unauthenticated_max,
            state: Mutex::default(),
        }
    }

    /// Lets a connection in as a stranger, or says at which cap it is shed.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<(Place, Stranger), &'static str> {
        let mut state = self.state();
        if state.connections >= self.connections_max {
            return Err("over_connections");
        }
        let held = state.addresses.get(&address);
        if held.is_some_and(|held| held.connections >= self.per_address_max) {
            return Err("over_address_connections");
        }
        if state.strangers >= self.strangers_max && !state.make_room(address) {
            return Err("over_unauthenticated");
        }
        let number = state.next;
        state.next += 1;
        state.connections += 1;
        state.strangers += 1;
        let displaced = CancellationToken::new();
        let held = state.addresses.entry(address).or_default();
        held.connections += 1;
        held.strangers += 1;
        held.displaceable.insert(number, displaced.clone());
        let place = Place {
            crowd: Arc::clone(self),
            address,
        };
        let stranger = Stranger {
            crowd: Arc::clone(self),
            address,
            number,
            displaced,
        };
        Ok((place, stranger))
    }

    /// A panic elsewhere must not take the counts along: they are consistent between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Asks the oldest stranger of the address with the most of them to leave. It counts until it has; `false`: nobody
    /// has more than the newcomer.
    fn make_room(&mut self, newcomer: IpAddr) -> bool {
        let own = self.addresses.get(&newcomer).map_or(0, Held::askable);
        let most = self
            .addresses
            .values_mut()
            .max_by_key(|held| held.askable());
        let Some(most) = most.filter(|most| most.askable() > own + 1) else {
            return false;
        };
        if let Some((_, displaced)) = most.displaceable.pop_first() {
            displaced.cancel();
        }
        true
    }
}

impl Held {
    fn askable(&self) -> usize {
        self.displaceable.len()
    }
}

/// A connection's share of the caps on all and on its address. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.crowd.state();
        state.connections -= 1;
        if let Some(held) = state.addresses.get_mut(&self.address) {
            held.connections -= 1;
            if held.connections == 0 && held.strangers == 0 {
                state.addresses.remove(&self.address);
            }
        }
    }
}

/// A connection's share of the cap on strangers. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Stranger {
    crowd: Arc<Crowd>,
    address: IpAddr,
    number: u64,
    displaced: CancellationToken,
}

impl Stranger {
    /// Resolves when the connection is to make room for another.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// From now on it is not asked to leave: it has shown its certificate and waits for the platform's word.
    pub(crate) fn stay(&self) {
        if let Some(held) = self.crowd.state().addresses.get_mut(&self.address) {
            held.displaceable.remove(&self.number);
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut state = self.crowd.state();
        state.strangers -= 1;
        if let Some(held) = state.addresses.get_mut(&self.address) {
            held.strangers -= 1;
            held.displaceable.remove(&self.number);
            if held.connections == 0 && held.strangers == 0 {
                state.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn crowd(connections: usize, per_address: usize, strangers: usize) -> Arc<Crowd> {
        Arc::new(Crowd::new(&Limits {
            connections_max: connections,
            connections_per_address_max: per_address,
            unauthenticated_max: strangers,
            ..Limits::default()
        }))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_displaced(stranger: &Stranger) -> bool {
        stranger.displaced().now_or_never().is_some()
    }

    #[test]
    fn each_cap_sheds_and_gives_back() {
        let crowd = crowd(3, 2, 9);
        let first = crowd.enter(ip(1)).unwrap();
        let _second = crowd.enter(ip(1)).unwrap();
        assert_eq!(crowd.enter(ip(1)).unwrap_err(), "over_address_connections");
        let _third = crowd.enter(ip(2)).unwrap();
        assert_eq!(crowd.enter(ip(3)).unwrap_err(), "over_connections");
        drop(first);
        crowd.enter(ip(1)).unwrap();
    }

    #[test]
    fn the_room_for_strangers_is_shared_out_among_addresses() {
        let crowd = crowd(99, 99, 4);
        let crowded: Vec<_> = (0..4).map(|_| crowd.enter(ip(1)).unwrap()).collect();
        assert_eq!(crowd.enter(ip(1)).unwrap_err(), "over_unauthenticated");
        let (_, _newcomer) = crowd.enter(ip(2)).unwrap();
        let displaced: Vec<_> = crowded.iter().map(|(_, one)| is_displaced(one)).collect();
        assert_eq!(displaced, [true, false, false, false], "the oldest");
        let (_, _another) = crowd.enter(ip(2)).unwrap_or_else(|why| panic!("{why}"));
        assert!(is_displaced(&crowded[1].1));
        // Two and two: nobody has more than the newcomer would.
        assert_eq!(crowd.enter(ip(2)).unwrap_err(), "over_unauthenticated");
    }

    #[test]
    fn who_waits_for_the_platform_is_not_displaced_and_who_is_in_is_no_stranger() {
        let crowd = crowd(99, 99, 2);
        let (_place, waiting) = crowd.enter(ip(1)).unwrap();
        let (_inside, stranger) = crowd.enter(ip(1)).unwrap();
        waiting.stay();
        assert_eq!(crowd.enter(ip(2)).unwrap_err(), "over_unauthenticated");
        drop(stranger);
        crowd.enter(ip(2)).unwrap();
        assert!(!is_displaced(&waiting));
    }

    #[test]
    fn addresses_that_hold_nothing_are_forgotten() {
        let crowd = crowd(9, 9, 9);
        for last in 0..5 {
            drop(crowd.enter(ip(last)).unwrap());
        }
        let (place, stranger) = crowd.enter(ip(9)).unwrap();
        drop(place);
        drop(stranger);
        let state = crowd.state();
        assert!(state.addresses.is_empty());
        assert_eq!((state.connections, state.strangers), (0, 0));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let ip = |text: &str| address(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }
}
