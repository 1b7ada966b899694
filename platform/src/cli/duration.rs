//! Durations on the command line: `500ms`, `5s`, `2m`, `12h`, `90d`; a bare number is seconds.

use std::time::Duration;

const EXPECTED: &str = "expected a duration such as 500ms, 5s, 2m, 12h or 90d";

/// Reads a duration.
///
/// # Errors
/// Anything else, as a sentence.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| EXPECTED.to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    match number.checked_mul(unit_ms) {
        Some(ms) if ms <= YEARS_MAX_MS => Ok(Duration::from_millis(ms)),
        _ => Err("longer than a hundred years".to_owned()),
    }
}

/// A hundred years, so that a duration can be added to any date.
const YEARS_MAX_MS: u64 = 100 * 365 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("7", 7_000),
            ("2m", 120_000),
            ("12h", 43_200_000),
            ("90d", 7_776_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "5 s",
            "99999d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
