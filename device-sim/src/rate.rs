//! Rates: `5%` or `0.05` on the command line and in scenario files, stored in millionths.

use std::str::FromStr;

use rand::RngExt;
use serde::Deserialize;

const MILLION: u32 = 1_000_000;

/// A rate from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    millionths: u32,
}

impl Rate {
    /// Draws whether it happens this time.
    pub fn hits(self, random: &mut impl RngExt) -> bool {
        random.random_range(0..MILLION) < self.millionths
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected a share such as 5% or 0.05");
        // A percentage has two decimal places fewer.
        let (number, places) = match text.strip_suffix('%') {
            Some(number) => (number, 4),
            None => (text, 6),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > places || !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        let millionths = format!("{whole}{fraction:0<places$}")
            .parse()
            .map_err(|_| wrong())?;
        if millionths > MILLION {
            return Err(wrong());
        }
        Ok(Self { millionths })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        for (text, millionths) in [
            ("0", 0),
            ("5%", 50_000),
            ("0.05", 50_000),
            ("0.000001", 1),
            ("12.5%", 125_000),
            ("100%", MILLION),
            ("1", MILLION),
        ] {
            assert_eq!(text.parse(), Ok(Rate { millionths }), "{text}");
        }
        for text in [
            "",
            "%",
            "-1%",
            "101%",
            "1.1",
            "a",
            ".5",
            "0.0000001",
            "1e-3",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
