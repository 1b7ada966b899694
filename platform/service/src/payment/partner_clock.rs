//! How far partners' clocks are from ours, by their last verified messages to this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

/// The last difference of each partner.
#[derive(Debug, Default)]
pub struct PartnerClocks(Mutex<HashMap<String, TimeDelta>>);

impl PartnerClocks {
    /// Notes how much later than it was signed a message came.
    pub(crate) fn note(&self, partner_id: &str, difference: TimeDelta) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(partner_id) {
            Some(last) => *last = difference,
            None => {
                known.insert(partner_id.to_owned(), difference);
            }
        }
    }

    /// How many seconds ours is ahead of a partner's; none before its first message.
    pub(crate) fn ahead_s(&self, partner_id: &str) -> Option<i64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(partner_id).map(TimeDelta::num_seconds)
    }
}
