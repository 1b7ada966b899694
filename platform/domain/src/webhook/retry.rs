//! When a message that was not taken is sent again.

use chrono::TimeDelta;

use crate::backoff;

/// For how long a message is sent again; then its endpoint is switched off.
pub const ABANDON_AFTER: TimeDelta = TimeDelta::days(3);
/// How long one attempt may take in all. Whoever began it and says nothing for so long has died, and it is begun again.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// The waits after the first failures in a row, seconds; from then on the last one.
const WAITS_S: [i64; 9] = [5, 15, 60, 180, 600, 1_800, 3_600, 7_200, 14_400];

/// How long to wait after this many failures in a row.
pub fn wait(failures: i32) -> TimeDelta {
    backoff::after(failures, &WAITS_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_then_stay() {
        let waits: Vec<i64> = (0..14)
            .map(|failures| wait(failures).num_seconds())
            .collect();
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[1], waits[13]), (5, 5, 14_400));
        assert_eq!(wait(i32::MAX), wait(20));
    }
}
