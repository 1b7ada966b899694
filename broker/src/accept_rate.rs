//! The limit on new connections of one address.
//!
//! Only the accept loop uses it, so it needs no lock. Idle addresses are removed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::cell_rate::CellRate;

/// Idle addresses are removed when there are twice as many addresses as after the last removal, and at least this many.
const SWEEP_MIN: usize = 4_096;

/// New connections per second, for each address.
#[derive(Debug)]
pub struct AcceptRate {
    /// The rate of an address that is not listed.
    idle: CellRate,
    addresses: HashMap<IpAddr, CellRate>,
    sweep_at: usize,
}

impl AcceptRate {
    /// `per_s` connections a second, with a burst of one second's worth.
    pub fn new(per_s: u32) -> Self {
        Self {
            idle: CellRate::new(per_s),
            addresses: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// Whether a connection from this address may be accepted now.
    pub fn allow(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.addresses.len() >= self.sweep_at {
            self.addresses.retain(|_, rate| !rate.is_idle(now));
            self.sweep_at = SWEEP_MIN.max(self.addresses.len() * 2);
        }
        self.addresses
            .entry(address)
            .or_insert(self.idle)
            .allow(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_others_are_untouched() {
        let mut rate = AcceptRate::new(10);
        let now = Instant::now();
        assert_eq!((0..20).filter(|_| rate.allow(address(1), now)).count(), 10);
        assert!(rate.allow(address(2), now));
        let later = now + Duration::from_millis(200);
        assert_eq!((0..20).filter(|_| rate.allow(address(1), later)).count(), 2);
    }

    #[test]
    fn idle_addresses_are_removed() {
        let mut rate = AcceptRate::new(1_000);
        let mut now = Instant::now();
        for bits in 0..100_000_u32 {
            now += Duration::from_millis(1);
            assert!(rate.allow(IpAddr::V4(Ipv4Addr::from_bits(bits)), now));
        }
        assert!(rate.addresses.len() <= SWEEP_MIN);
    }
}
