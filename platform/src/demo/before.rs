//! What earlier starts have shown, so that a payment is shown once, and one that a killed start heard is shown by the next.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use wire::TransactionId;

/// What earlier starts have shown, as far as their lines are kept.
#[derive(Default)]
pub(super) struct Before {
    /// Ids rise with time: what is older than the first may have been shown in a line that is not kept.
    shown: BTreeSet<TransactionId>,
    pub(super) played: HashSet<TransactionId>,
}

impl Before {
    pub(super) fn read(lines: &[Vec<u8>]) -> Self {
        #[derive(Deserialize)]
        struct Shown {
            transaction_id: TransactionId,
            status: String,
        }
        let mut before = Self::default();
        for line in lines {
            let Ok(shown) = serde_json::from_slice::<Shown>(line) else {
                continue;
            };
            before.shown.insert(shown.transaction_id);
            if shown.status == "played" {
                before.played.insert(shown.transaction_id);
            }
        }
        before
    }

    /// Whether a payment that was said was not shown, because the start that heard it was killed.
    pub(super) fn owes(&self, id: TransactionId) -> bool {
        !self.shown.contains(&id) && self.shown.first().is_none_or(|oldest| id > *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TransactionId {
        TransactionId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_start_owes_the_lines_that_the_one_before_had_no_time_for() {
        assert!(
            Before::read(&[]).owes(id(1)),
            "killed before its first line"
        );
        let line = |number, status| {
            format!(
                r#"{{"event":"payment","transaction_id":"{}","status":"{status}"}}"#,
                id(number)
            )
            .into_bytes()
        };
        let before = Before::read(&[line(5, "played"), line(7, "lost"), b"{\"torn".to_vec()]);
        assert!(before.owes(id(6)) && before.owes(id(8)));
        assert!(!before.owes(id(5)) && !before.owes(id(7)), "shown");
        assert!(!before.owes(id(4)), "its line may have been put aside");
        assert!(before.played.contains(&id(5)) && !before.played.contains(&id(7)));
    }
}
