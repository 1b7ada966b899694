//! The payments that earlier runs have printed: each is printed once, also when the run in which it was spoken was killed.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use wire::TransactionId;

/// The payments that earlier runs have printed, as far as their lines are kept.
#[derive(Default)]
pub(super) struct EarlierRuns {
    /// Ids rise with time: a payment older than the first may have been printed in a line that is not kept.
    printed: BTreeSet<TransactionId>,
    pub(super) played: HashSet<TransactionId>,
}

impl EarlierRuns {
    pub(super) fn read(lines: &[Vec<u8>]) -> Self {
        #[derive(Deserialize)]
        struct Shown {
            transaction_id: TransactionId,
            status: String,
        }
        let mut earlier = Self::default();
        for line in lines {
            let Ok(shown) = serde_json::from_slice::<Shown>(line) else {
                continue;
            };
            earlier.printed.insert(shown.transaction_id);
            if shown.status == "played" {
                earlier.played.insert(shown.transaction_id);
            }
        }
        earlier
    }

    /// Whether a payment that was spoken has not been printed, because that run was killed.
    pub(super) fn is_unprinted(&self, id: TransactionId) -> bool {
        !self.printed.contains(&id) && self.printed.first().is_none_or(|oldest| id > *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TransactionId {
        TransactionId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn payments_that_a_killed_run_did_not_print_are_unprinted() {
        assert!(
            EarlierRuns::read(&[]).is_unprinted(id(1)),
            "killed before its first line"
        );
        let line = |number, status| {
            format!(
                r#"{{"event":"payment","transaction_id":"{}","status":"{status}"}}"#,
                id(number)
            )
            .into_bytes()
        };
        let earlier = EarlierRuns::read(&[line(5, "played"), line(7, "lost"), b"{\"torn".to_vec()]);
        assert!(earlier.is_unprinted(id(6)) && earlier.is_unprinted(id(8)));
        assert!(
            !earlier.is_unprinted(id(5)) && !earlier.is_unprinted(id(7)),
            "printed"
        );
        assert!(
            !earlier.is_unprinted(id(4)),
            "its line may have been rotated away"
        );
        assert!(earlier.played.contains(&id(5)) && !earlier.played.contains(&id(7)));
    }
}
