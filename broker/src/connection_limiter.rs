//! Caps on connections: on all, on those of one address, and on those that are not yet admitted (pre-auth).
//!
//! Pre-auth connections are shared out fairly among addresses. When the cap on all connections or on pre-auth ones is
//! reached, the address with the most evictable connections loses its oldest, if the new connection's address has at least
//! two fewer. So an address that opens
//! connections and stays silent keeps them only as long as no other address needs them, and a fleet that reconnects
//! through one address keeps the handshakes that it has begun. The MQTT edge and the platform's HTTPS listener both use
//! this.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// What counts as one address: an IPv4 address, or an IPv6 /64, because a host with an IPv6 address usually has all of it.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// The caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCaps {
    /// All connections.
    pub connections_max: usize,
    /// Connections of one address.
    pub per_address_max: usize,
    /// All pre-auth connections.
    pub pre_auth_max: usize,
}

/// Counts connections and applies the caps.
#[derive(Debug)]
pub struct ConnectionLimiter {
    caps: ConnectionCaps,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    pre_auth: usize,
    /// The number of the next pre-auth connection; the oldest has the lowest.
    next: u64,
    addresses: HashMap<IpAddr, AddressUsage>,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct AddressUsage {
    connections: usize,
    pre_auth: usize,
    /// The pre-auth connections that can be evicted.
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

    /// Counts a new connection, as pre-auth.
    ///
    /// # Errors
    /// The cap that refuses it: `over_connections`, `over_address_connections` or `over_unauthenticated`.
    pub fn take(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<(ConnectionPermit, PreAuthPermit), &'static str> {
        let mut state = self.state();
        let usage = state.addresses.get(&address);
        if usage.is_some_and(|usage| usage.connections >= self.caps.per_address_max) {
            return Err("over_address_connections");
        }
        let full = if state.connections >= self.caps.connections_max {
            Some("over_connections")
        } else if state.pre_auth >= self.caps.pre_auth_max {
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
        state.pre_auth += 1;
        let evicted = CancellationToken::new();
        let usage = state.addresses.entry(address).or_default();
        usage.connections += 1;
        usage.pre_auth += 1;
        usage.evictable.insert(number, evicted.clone());
        let connection = ConnectionPermit {
            limiter: Arc::clone(self),
            address,
        };
        let pre_auth = PreAuthPermit {
            limiter: Arc::clone(self),
            address,
            number,
            evicted,
        };
        Ok((connection, pre_auth))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Evicts the oldest evictable connection of the address with the most of them. The connection counts until it has
    /// ended. `false`: no address has more than the new connection's address would.
    fn evict_for(&mut self, address: IpAddr) -> bool {
        let own = self
            .addresses
            .get(&address)
            .map_or(0, |usage| usage.evictable.len());
        let busiest = self
            .addresses
            .values_mut()
            .max_by_key(|usage| usage.evictable.len());
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
            .is_some_and(|usage| usage.connections == 0 && usage.pre_auth == 0)
        {
            self.addresses.remove(&address);
        }
    }
}

/// Counts a connection in the caps on all and on its address, until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.connections -= 1;
        if let Some(usage) = state.addresses.get_mut(&self.address) {
            usage.connections -= 1;
        }
        state.forget_if_empty(self.address);
    }
}

/// Counts a connection in the cap on pre-auth connections. The MQTT edge drops it when the platform has admitted the
/// client, or the connection has ended; the HTTPS listener when the connection has ended.
#[derive(Debug)]
pub struct PreAuthPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
    number: u64,
    evicted: CancellationToken,
}

impl PreAuthPermit {
    /// Resolves when the connection must end in favour of another.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Excludes the connection from eviction. MQTT: from a valid CONNECT on; HTTPS: while a complete request is handled,
    /// and for good once its client is authenticated.
    pub fn retain(&self) {
        if let Some(usage) = self.limiter.state().addresses.get_mut(&self.address) {
            usage.evictable.remove(&self.number);
        }
    }

    /// Allows eviction again.
    pub fn release(&self) {
        if self.evicted.is_cancelled() {
            return;
        }
        if let Some(usage) = self.limiter.state().addresses.get_mut(&self.address) {
            usage.evictable.insert(self.number, self.evicted.clone());
        }
    }
}

impl Drop for PreAuthPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.pre_auth -= 1;
        if let Some(usage) = state.addresses.get_mut(&self.address) {
            usage.pre_auth -= 1;
            usage.evictable.remove(&self.number);
        }
        state.forget_if_empty(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn limiter(connections: usize, per_address: usize, pre_auth: usize) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter::new(ConnectionCaps {
            connections_max: connections,
            per_address_max: per_address,
            pre_auth_max: pre_auth,
        }))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_evicted(permit: &PreAuthPermit) -> bool {
        permit.evicted().now_or_never().is_some()
    }

    #[test]
    fn each_cap_refuses_and_recovers() {
        let limiter = limiter(3, 2, 9);
        let (first, _) = limiter.take(ip(1)).unwrap();
        let (_second, _) = limiter.take(ip(1)).unwrap();
        assert_eq!(limiter.take(ip(1)).unwrap_err(), "over_address_connections");
        let (_third, _) = limiter.take(ip(2)).unwrap();
        assert_eq!(limiter.take(ip(3)).unwrap_err(), "over_connections");
        drop(first);
        limiter.take(ip(1)).unwrap();
    }

    #[test]
    fn pre_auth_connections_are_shared_out_among_addresses() {
        let limiter = limiter(99, 99, 4);
        let first: Vec<_> = (0..4).map(|_| limiter.take(ip(1)).unwrap()).collect();
        assert_eq!(limiter.take(ip(1)).unwrap_err(), "over_unauthenticated");
        let (_, _newer) = limiter.take(ip(2)).unwrap();
        let evicted: Vec<_> = first.iter().map(|(_, one)| is_evicted(one)).collect();
        assert_eq!(evicted, [true, false, false, false], "the oldest");
        let (_, _another) = limiter.take(ip(2)).unwrap_or_else(|why| panic!("{why}"));
        assert!(is_evicted(&first[1].1));
        // Two and two: no address has more than the new connection's would.
        assert_eq!(limiter.take(ip(2)).unwrap_err(), "over_unauthenticated");
    }

    #[test]
    fn a_pre_auth_connection_is_evicted_when_all_connections_are_taken() {
        let limiter = limiter(4, 99, 99);
        let (_established, _) = limiter.take(ip(2)).unwrap();
        let silent: Vec<_> = (0..3).map(|_| limiter.take(ip(1)).unwrap()).collect();
        assert_eq!(limiter.take(ip(1)).unwrap_err(), "over_connections");
        let _newer = limiter.take(ip(3)).unwrap();
        assert!(is_evicted(&silent[0].1) && !is_evicted(&silent[1].1));
    }

    #[test]
    fn a_retained_connection_is_not_evicted_and_an_established_one_is_not_pre_auth() {
        let limiter = limiter(99, 99, 2);
        let (_connection, working) = limiter.take(ip(1)).unwrap();
        let (_established, pre_auth) = limiter.take(ip(1)).unwrap();
        working.retain();
        assert_eq!(limiter.take(ip(2)).unwrap_err(), "over_unauthenticated");
        drop(pre_auth);
        limiter.take(ip(2)).unwrap();
        assert!(!is_evicted(&working));
    }

    #[test]
    fn a_released_connection_is_the_oldest_again() {
        let limiter = limiter(3, 99, 99);
        let kept: Vec<_> = (0..3).map(|_| limiter.take(ip(1)).unwrap()).collect();
        kept[0].1.retain();
        kept[0].1.release();
        let _newer = limiter.take(ip(2)).unwrap();
        assert!(is_evicted(&kept[0].1));
        // Released after it was evicted, it stays so.
        kept[0].1.release();
        let _another = limiter.take(ip(3)).unwrap_or_else(|why| panic!("{why}"));
        assert!(is_evicted(&kept[1].1) && !is_evicted(&kept[2].1));
    }

    #[test]
    fn addresses_without_connections_are_removed() {
        let limiter = limiter(9, 9, 9);
        for last in 0..5 {
            drop(limiter.take(ip(last)).unwrap());
        }
        let (connection, pre_auth) = limiter.take(ip(9)).unwrap();
        drop(connection);
        drop(pre_auth);
        let state = limiter.state();
        assert!(state.addresses.is_empty());
        assert_eq!((state.connections, state.pre_auth), (0, 0));
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
