//! How many rejected callbacks are kept: a budget for each address, and one for all of them.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota};

use crate::rate_limit::KeyedRateLimiter;

/// How many unverified messages are kept.
pub struct RejectedBudget {
    total: DefaultDirectRateLimiter,
    per_address: KeyedRateLimiter<IpAddr>,
}

impl RejectedBudget {
    /// A budget per minute in all, and one for each address.
    pub fn new(per_minute_max: u32, per_address_per_minute_max: u32) -> Self {
        let quota = |rate| Quota::per_minute(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        Self {
            total: DefaultDirectRateLimiter::direct(quota(per_minute_max)),
            per_address: KeyedRateLimiter::new(quota(per_address_per_minute_max)),
        }
    }

    /// Takes one, or returns which budget is used up. An address that is over its own budget takes nothing from the total.
    pub(super) fn take(&self, address: Option<IpAddr>) -> std::result::Result<(), &'static str> {
        if address.is_some_and(|address| self.per_address.take(&address).is_err()) {
            return Err("address");
        }
        self.total.check().map_err(|_| "total")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn an_address_uses_up_its_own_budget_and_no_other() {
        let budget = RejectedBudget::new(1_000, 10);
        let kept = (0..500).filter(|_| budget.take(address(1)).is_ok()).count();
        assert!((10..20).contains(&kept), "{kept}");
        assert_eq!(budget.take(address(1)), Err("address"));
        assert_eq!(budget.take(address(2)), Ok(()));
    }

    #[test]
    fn all_addresses_together_have_a_budget_too() {
        let budget = RejectedBudget::new(20, 10);
        let kept = (0..200)
            .filter(|last| budget.take(address(*last)).is_ok())
            .count();
        assert!((20..40).contains(&kept), "{kept}");
        assert_eq!(budget.take(None), Err("total"));
    }
}
