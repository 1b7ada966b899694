//! Wrong passwords: how long their refusals are held back.
//!
//! A password is checked first and refused afterwards, so that somebody who guesses never keeps out the box whose password
//! it is, nor another box behind the same address. What is limited is how fast wrong ones are answered: up to the rate at
//! once, then later and later. The client waits meanwhile as one that is not yet admitted, and counts as such.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::cell_rate::CellRate;
use crate::connection_limiter::network_of;
use crate::lock::lock;

/// The longest that a refusal is held back: below the usual timeout of a client, which would otherwise connect again.
const HELD_BACK_MAX: Duration = Duration::from_secs(5);
/// The most addresses and user names that are remembered. Without room, refusals are held back as long as possible.
const REMEMBERED_MAX: usize = 65_536;
/// How often idle ones are looked for when there is no room: looking goes through all, and a flood of names would pay for
/// it at each failure.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What failures are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Address(IpAddr),
    /// The hash of a user name: the name may be as long as the client likes.
    UserName(u64),
}

#[derive(Debug)]
pub(crate) struct FailedLogins {
    hasher: RandomState,
    idle: CellRate,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    rates: HashMap<Of, CellRate>,
    swept_at: Option<Instant>,
}

impl Remembered {
    /// Forgets those that are idle, unless that was done a moment ago.
    fn make_room(&mut self, now: Instant) {
        if self
            .swept_at
            .is_none_or(|at| now.duration_since(at) >= SWEEP_EVERY)
        {
            self.swept_at = Some(now);
            self.rates.retain(|_, rate| !rate.is_idle(now));
        }
    }
}

impl FailedLogins {
    /// `per_s` failures a second are answered at once, for each address and for each user name.
    pub(crate) fn new(per_s: u32) -> Self {
        Self {
            hasher: RandomState::new(),
            idle: CellRate::new(per_s),
            remembered: Mutex::default(),
        }
    }

    /// Counts a failure, and returns for how long its refusal is held back.
    pub(crate) fn note(&self, remote: SocketAddr, user_name: &str, now: Instant) -> Duration {
        let of = [
            Of::Address(network_of(remote.ip())),
            Of::UserName(self.hasher.hash_one(user_name)),
        ];
        let mut remembered = lock(&self.remembered);
        if remembered.rates.len() + of.len() > REMEMBERED_MAX {
            remembered.make_room(now);
        }
        let rates = &mut remembered.rates;
        let mut held_back = Duration::ZERO;
        for of in of {
            if rates.len() >= REMEMBERED_MAX && !rates.contains_key(&of) {
                return HELD_BACK_MAX;
            }
            let due = rates.entry(of).or_insert(self.idle).delay(now, 1);
            let wait = due.map_or(Duration::ZERO, |due| due.duration_since(now));
            held_back = held_back.max(wait);
        }
        held_back.min(HELD_BACK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(bits: u32) -> SocketAddr {
        (std::net::Ipv4Addr::from_bits(bits), 1).into()
    }

    #[test]
    fn failures_over_the_rate_are_held_back_up_to_a_limit() {
        let failed = FailedLogins::new(2);
        let now = Instant::now();
        let waits: Vec<u64> = (0..20)
            .map(|n| {
                let name = format!("name {n}");
                failed.note(address(1), &name, now).as_secs()
            })
            .collect();
        assert_eq!(waits[..3], [0, 0, 0]);
        assert!(waits.is_sorted());
        assert_eq!(waits[19], HELD_BACK_MAX.as_secs());
        assert_eq!(
            failed.note(address(2), "another", now),
            Duration::ZERO,
            "another address with another name"
        );
        assert_eq!(
            failed.note(address(1), "name", now + Duration::from_secs(60)),
            Duration::ZERO,
            "after a while"
        );
    }

    #[test]
    fn one_name_from_many_addresses_is_held_back_too() {
        let failed = FailedLogins::new(1);
        let now = Instant::now();
        let held = (0..10).filter(|n| !failed.note(address(*n), "box", now).is_zero());
        assert_eq!(held.count(), 9);
    }

    #[test]
    fn a_flood_of_names_does_not_fill_the_memory() {
        let failed = FailedLogins::new(1);
        let now = Instant::now();
        for n in 0..100_000 {
            failed.note(address(n), &n.to_string(), now);
        }
        let remembered = || lock(&failed.remembered).rates.len();
        assert!(remembered() <= REMEMBERED_MAX);
        assert_eq!(failed.note(address(100_000), "new", now), HELD_BACK_MAX);
        // When it is over, there is room again.
        let later = now + Duration::from_secs(60);
        assert_eq!(failed.note(address(100_000), "new", later), Duration::ZERO);
        assert_eq!(remembered(), 2);
    }
}
