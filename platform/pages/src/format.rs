//! How money, times and counts are written.

use chrono::{DateTime, TimeDelta, Utc};
use domain::total::Total;
use domain::wib;
use serde_json::json;
use wire::Rupiah;

use crate::words::Words;

/// `Rp1.234.567`.
pub(crate) fn rupiah(amount: Rupiah) -> String {
    written(&amount.to_i64().to_string())
}

/// The same of a sum.
pub(crate) fn total(sum: Total) -> String {
    // A sum is an integer in JSON, whatever its size.
    written(&json!(sum).to_string())
}

fn written(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", number),
    };
    format!("{sign}Rp{}", grouped(digits))
}

/// `1.234.567`: the separator of thousands is a point in both languages, as on Indonesian receipts.
pub(crate) fn count(number: i64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

/// `17:03:05`, in WIB.
pub(crate) fn clock(at: DateTime<Utc>) -> String {
    wib::local(at).format("%H:%M:%S").to_string()
}

/// `26-11-2026 17:03:05`, in WIB.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    wib::local(at).format("%d-%m-%Y %H:%M:%S").to_string()
}

/// `17:03:05.123`, in WIB, for time lines.
pub(crate) fn precise(at: DateTime<Utc>) -> String {
    wib::local(at).format("%H:%M:%S%.3f").to_string()
}

/// `2026-11-26`, in WIB, for filters.
pub(crate) fn date(at: DateTime<Utc>) -> String {
    wib::local(at).format("%Y-%m-%d").to_string()
}

/// `845 ms`, `2,4 s`, `3 min`.
pub(crate) fn milliseconds(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{},{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// How long ago, in words.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>, words: &Words) -> String {
    let passed = (now - at).max(TimeDelta::zero());
    let (number, unit) = if passed < TimeDelta::minutes(1) {
        return words.just_now.to_owned();
    } else if passed < TimeDelta::hours(2) {
        (passed.num_minutes(), words.minutes_ago)
    } else if passed < TimeDelta::days(2) {
        (passed.num_hours(), words.hours_ago)
    } else {
        (passed.num_days(), words.days_ago)
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_points_between_thousands() {
        for (amount, text) in [
            (0, "Rp0"),
            (999, "Rp999"),
            (1_000, "Rp1.000"),
            (1_234_567, "Rp1.234.567"),
            (-50_000, "−Rp50.000"),
        ] {
            assert_eq!(rupiah(Rupiah::from_i64(amount)), text);
        }
        let sum = Total::from(Rupiah::from_i64(i64::MAX)) + Total::from(Rupiah::from_i64(1));
        assert_eq!(total(sum), "Rp9.223.372.036.854.775.808");
    }

    #[test]
    fn times_are_those_of_jakarta() {
        let at = "2026-11-26T17:00:00.250Z".parse().unwrap();
        assert_eq!(moment(at), "27-11-2026 00:00:00");
        assert_eq!(precise(at), "00:00:00.250");
        assert_eq!(date(at), "2026-11-27");
    }

    #[test]
    fn milliseconds_become_seconds_and_minutes() {
        let texts = [999, 2_450, 180_000, 7_200_000].map(milliseconds);
        assert_eq!(texts, ["999 ms", "2,4 s", "3 min", "2 h"]);
    }
}
