//! Who holds how many connections: caps on all of them, on those of one address, and on those that are pending.
//!
//! A pending connection has not yet proven anything: anybody can open one. Pending connections are shared out fairly
//! among addresses. When there is no room for another connection, the address with the most evictable ones loses its
//! oldest, if the newcomer's address has fewer. So an address that opens connections and stays silent fills the room
//! only as long as nobody else needs it, and a fleet that comes back through one address keeps the handshakes that it
//! has begun. The MQTT edge and the platform's HTTPS listener both use this.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// What counts as one address: whoever has an IPv6 address has the whole /64 around it.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// The caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCaps {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one address.
    pub per_address_max: usize,
    /// Pending connections in all.
    pub pending_max: usize,
}

/// Counts connections and holds them against the caps.
#[derive(Debug)]
pub struct ConnectionLimiter {
    caps: ConnectionCaps,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    pending: usize,
    /// The number of the next pending connection, so that the oldest has the lowest.
    next: u64,
    addresses: HashMap<IpAddr, Held>,
}

/// What one address holds.
#[derive(Debug, Default)]
struct Held {
    connections: usize,
    pending: usize,
    /// Those pending connections that can be evicted.
    evictable: BTreeMap<u64, CancellationToken>,
}

impl ConnectionLimiter {
    /// A limiter with these caps.
    pub fn new(caps: ConnectionCaps) -> Self {
        Self {
            caps,
            state: Mutex::default(),
        }
    }

    /// Admits a connection as pending.
    ///
    /// # Errors
    /// The cap at which it is shed: `over_connections`, `over_address_connections` or `over_unauthenticated`.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<(ConnectionPermit, PendingPermit), &'static str> {
        let mut state = self.state();
        let held = state.addresses.get(&address);
        if held.is_some_and(|held| held.connections >= self.caps.per_address_max) {
            return Err("over_address_connections");
        }
        let full = if state.connections >= self.caps.connections_max {
            Some("over_connections")
        } else if state.pending >= self.caps.pending_max {
            Some("over_unauthenticated")
        } else {
            None
        };
        if let Some(cap) = full
            && !state.evict_for(address)
        {
            return Err(cap);
        }
        let number = state.next;
        state.next += 1;
        state.connections += 1;
        state.pending += 1;
        let evicted = CancellationToken::new();
        let held = state.addresses.entry(address).or_default();
        held.connections += 1;
        held.pending += 1;
        held.evictable.insert(number, evicted.clone());
        let connection = ConnectionPermit {
            limiter: Arc::clone(self),
            address,
        };
        let pending = PendingPermit {
            limiter: Arc::clone(self),
            address,
            number,
            evicted,
        };
        Ok((connection, pending))
    }

    /// A panic elsewhere must not take the counts along: they are consistent between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Evicts the oldest evictable connection of the address with the most of them. It counts until it has ended;
    /// `false`: no address has more than the newcomer's.
    fn evict_for(&mut self, newcomer: IpAddr) -> bool {
        let own = self
            .addresses
            .get(&newcomer)
            .map_or(0, |held| held.evictable.len());
        let busiest = self
            .addresses
            .values_mut()
            .max_by_key(|held| held.evictable.len());
        let Some(busiest) = busiest.filter(|busiest| busiest.evictable.len() > own + 1) else {
            return false;
        };
        if let Some((_, evicted)) = busiest.evictable.pop_first() {
            evicted.cancel();
        }
        true
    }

    fn forget_if_empty(&mut self, address: IpAddr) {
        if self
            .addresses
            .get(&address)
            .is_some_and(|held| held.connections == 0 && held.pending == 0)
        {
            self.addresses.remove(&address);
        }
    }
}

/// A connection's share of the caps on all and on its address. Dropping it gives it back.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.connections -= 1;
        if let Some(held) = state.addresses.get_mut(&self.address) {
            held.connections -= 1;
        }
        state.forget_if_empty(self.address);
    }
}

/// A connection's share of the cap on pending ones. Dropping it gives it back: the connection is pending no longer.
#[derive(Debug)]
pub struct PendingPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
    number: u64,
    evicted: CancellationToken,
}

impl PendingPermit {
    /// Resolves when the connection must end to make room for another.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// From now on it is not evicted: something is being done for it.
    pub fn retain(&self) {
        if let Some(held) = self.limiter.state().addresses.get_mut(&self.address) {
            held.evictable.remove(&self.number);
        }
    }

    /// From now on it can be evicted again.
    pub fn release(&self) {
        if self.evicted.is_cancelled() {
            return;
        }
        if let Some(held) = self.limiter.state().addresses.get_mut(&self.address) {
            held.evictable.insert(self.number, self.evicted.clone());
        }
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.pending -= 1;
        if let Some(held) = state.addresses.get_mut(&self.address) {
            held.pending -= 1;
            held.evictable.remove(&self.number);
        }
        state.forget_if_empty(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn limiter(connections: usize, per_address: usize, pending: usize) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter::new(ConnectionCaps {
            connections_max: connections,
            per_address_max: per_address,
            pending_max: pending,
        }))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_evicted(pending: &PendingPermit) -> bool {
        pending.evicted().now_or_never().is_some()
    }

    #[test]
    fn each_cap_sheds_and_gives_back() {
        let limiter = limiter(3, 2, 9);
        let (first, _) = limiter.admit(ip(1)).unwrap();
        let (_second, _) = limiter.admit(ip(1)).unwrap();
        assert_eq!(
            limiter.admit(ip(1)).unwrap_err(),
            "over_address_connections"
        );
        let (_third, _) = limiter.admit(ip(2)).unwrap();
        assert_eq!(limiter.admit(ip(3)).unwrap_err(), "over_connections");
        drop(first);
        limiter.admit(ip(1)).unwrap();
    }

    #[test]
    fn the_room_for_pending_ones_is_shared_out_among_addresses() {
        let limiter = limiter(99, 99, 4);
        let crowded: Vec<_> = (0..4).map(|_| limiter.admit(ip(1)).unwrap()).collect();
        assert_eq!(limiter.admit(ip(1)).unwrap_err(), "over_unauthenticated");
        let (_, _newcomer) = limiter.admit(ip(2)).unwrap();
        let evicted: Vec<_> = crowded.iter().map(|(_, one)| is_evicted(one)).collect();
        assert_eq!(evicted, [true, false, false, false], "the oldest");
        let (_, _another) = limiter.admit(ip(2)).unwrap_or_else(|why| panic!("{why}"));
        assert!(is_evicted(&crowded[1].1));
        // Two and two: nobody has more than the newcomer would.
        assert_eq!(limiter.admit(ip(2)).unwrap_err(), "over_unauthenticated");
    }

    #[test]
    fn pending_ones_make_room_when_all_connections_are_taken() {
        let limiter = limiter(4, 99, 99);
        let (_established, _) = limiter.admit(ip(2)).unwrap();
        let silent: Vec<_> = (0..3).map(|_| limiter.admit(ip(1)).unwrap()).collect();
        assert_eq!(limiter.admit(ip(1)).unwrap_err(), "over_connections");
        let _newcomer = limiter.admit(ip(3)).unwrap();
        assert!(is_evicted(&silent[0].1) && !is_evicted(&silent[1].1));
    }

    #[test]
    fn what_is_retained_is_not_evicted_and_what_is_established_is_not_pending() {
        let limiter = limiter(99, 99, 2);
        let (_connection, working) = limiter.admit(ip(1)).unwrap();
        let (_established, pending) = limiter.admit(ip(1)).unwrap();
        working.retain();
        assert_eq!(limiter.admit(ip(2)).unwrap_err(), "over_unauthenticated");
        drop(pending);
        limiter.admit(ip(2)).unwrap();
        assert!(!is_evicted(&working));
    }

    #[test]
    fn what_is_released_is_the_oldest_again() {
        let limiter = limiter(3, 99, 99);
        let kept: Vec<_> = (0..3).map(|_| limiter.admit(ip(1)).unwrap()).collect();
        kept[0].1.retain();
        kept[0].1.release();
        let _newcomer = limiter.admit(ip(2)).unwrap();
        assert!(is_evicted(&kept[0].1));
        // Released after it was evicted, it stays so.
        kept[0].1.release();
        let _another = limiter.admit(ip(3)).unwrap_or_else(|why| panic!("{why}"));
        assert!(is_evicted(&kept[1].1) && !is_evicted(&kept[2].1));
    }

    #[test]
    fn addresses_that_hold_nothing_are_forgotten() {
        let limiter = limiter(9, 9, 9);
        for last in 0..5 {
            drop(limiter.admit(ip(last)).unwrap());
        }
        let (connection, pending) = limiter.admit(ip(9)).unwrap();
        drop(connection);
        drop(pending);
        let state = limiter.state();
        assert!(state.addresses.is_empty());
        assert_eq!((state.connections, state.pending), (0, 0));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let ip = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
    }
}
