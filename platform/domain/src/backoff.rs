//! How long to wait after failures in a row.

use chrono::TimeDelta;

/// The wait after this many failures: `waits_s` has those after the first ones, seconds; from then on it is the last one.
/// Zero when there are none.
pub fn after(failures: i32, waits_s: &[i64]) -> TimeDelta {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(0);
    let wait = waits_s.get(place).or(waits_s.last());
    TimeDelta::seconds(wait.copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_the_table_and_then_the_last() {
        let waits: Vec<i64> = (-1..6)
            .map(|failures| after(failures, &[5, 15, 60]).num_seconds())
            .collect();
        assert_eq!(waits, [5, 5, 5, 15, 60, 60, 60]);
        assert_eq!(after(i32::MAX, &[5, 15, 60]).num_seconds(), 60);
        assert_eq!(after(i32::MIN, &[]).num_seconds(), 0);
    }
}
