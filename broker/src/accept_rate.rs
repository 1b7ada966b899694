//! How often one address may connect.
//!
//! A generic cell rate per address: each accepted connection moves the address's "theoretical arrival time" on by one
//! interval, and a connection is refused when that time is more than a second ahead. Only the accept loop uses it, so
//! it needs no lock, and addresses that have caught up are forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A burst of one second's worth is let through.
const BURST: Duration = Duration::from_secs(1);
/// Addresses are looked through for ones to forget when there are twice as many as after the last time, and at least
/// this many.
const SWEEP_MIN: usize = 4_096;

/// New connections per second, for each address.
#[derive(Debug)]
pub struct AcceptRate {
    interval: Duration,
    addresses: HashMap<IpAddr, Instant>,
    sweep_at: usize,
}

impl AcceptRate {
    /// So many a second, with a burst of one second's worth.
    pub fn new(per_s: u32) -> Self {
        Self {
            interval: BURST / per_s.max(1),
            addresses: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// Whether a connection from this address may be accepted now.
    pub fn allow(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.addresses.len() >= self.sweep_at {
            self.addresses.retain(|_, due| *due > now);
            self.sweep_at = SWEEP_MIN.max(self.addresses.len() * 2);
        }
        let due = self.addresses.entry(address).or_insert(now);
        let next = (*due).max(now) + self.interval;
        if next.duration_since(now) > BURST {
            return false;
        }
        *due = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

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
    fn addresses_that_have_caught_up_are_forgotten() {
        let mut rate = AcceptRate::new(1_000);
        let mut now = Instant::now();
        for bits in 0..100_000_u32 {
            now += Duration::from_millis(1);
            assert!(rate.allow(IpAddr::V4(Ipv4Addr::from_bits(bits)), now));
        }
        assert!(rate.addresses.len() <= SWEEP_MIN);
    }
}
