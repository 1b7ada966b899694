//! Health of a box: the thresholds of alerts, and the skew of the box's clock.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

/// The hours of the day in which a shop sells, in its own time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradingHours {
    /// From here on.
    pub opens: NaiveTime,
    /// Until here; earlier than `opens` for a shop that sells past midnight, the same for one that never closes.
    pub closes: NaiveTime,
}

/// Not of the form `08:00-22:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected hours of the form 08:00-22:00")]
pub struct ParseTradingHoursError;

impl std::str::FromStr for TradingHours {
    type Err = ParseTradingHoursError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M");
        let (opens, closes) = text.split_once('-').ok_or(ParseTradingHoursError)?;
        Ok(Self {
            opens: time(opens).map_err(|_| ParseTradingHoursError)?,
            closes: time(closes).map_err(|_| ParseTradingHoursError)?,
        })
    }
}

/// The thresholds of a healthy fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// When shops sell.
    pub trading_hours: TradingHours,
    /// A box that is away for this long within trading hours is missed.
    pub offline_after: TimeDelta,
    /// A payment that was not played this long after its callback was not heard.
    pub unheard_after: TimeDelta,
    /// A certificate that ends within this time is expiring.
    pub certificate_expires_within: TimeDelta,
    /// A battery at or below this is low, percent.
    pub battery_low_percent: i16,
    /// A signal at or below this is weak, percent.
    pub signal_weak_percent: i16,
    /// This many comings and goings …
    pub flips_max: i64,
    /// … within this time are flapping.
    pub flips_within: TimeDelta,
    /// A clock further away than this is wrong.
    pub clock_skew_max: TimeDelta,
}

impl HealthPolicy {
    /// A low battery is well again at this charge: a few percent above the threshold, so that an alert does not
    /// open and close with every heartbeat of a box that is just at the threshold.
    pub fn battery_well_percent(&self) -> i16 {
        self.battery_low_percent.saturating_add(5).min(100)
    }
}

/// How far a box's clock is ahead of ours (negative: behind), in milliseconds: the time in its message minus the time of
/// arrival, transport delay included. `None`: the message has no readable time.
pub fn clock_skew_ms(device_time: Option<&str>, received_at: DateTime<Utc>) -> Option<i64> {
    let told = DateTime::parse_from_rfc3339(device_time?.trim()).ok()?;
    Some(
        told.to_utc()
            .signed_duration_since(received_at)
            .num_milliseconds(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_read_as_they_are_written() {
        let hours = |text: &str| text.parse::<TradingHours>();
        let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        let day = TradingHours {
            opens: time(8, 0),
            closes: time(22, 30),
        };
        assert_eq!(hours("08:00-22:30"), Ok(day));
        assert_eq!(hours(" 08:00 - 22:30 "), Ok(day));
        assert!(hours("22:00-03:00").is_ok_and(|night| night.closes < night.opens));
        for wrong in [
            "",
            "08:00",
            "8-22",
            "08:00-24:00",
            "08:00-22:00-23:00",
            "a-b",
        ] {
            assert_eq!(hours(wrong), Err(ParseTradingHoursError), "{wrong}");
        }
    }

    #[test]
    fn a_clock_is_measured_against_the_moment_of_arrival() {
        let arrived: DateTime<Utc> = "2026-05-24T12:00:00Z".parse().unwrap();
        let skew = |text: &str| clock_skew_ms(Some(text), arrived);
        assert_eq!(skew("2026-05-24T12:00:00Z"), Some(0));
        assert_eq!(skew("2026-05-24T19:00:01.5+07:00"), Some(1_500));
        assert_eq!(skew("2026-05-23T12:00:00Z"), Some(-86_400_000));
        assert_eq!(skew("2036-05-24T12:00:00Z"), Some(315_619_200_000));
        assert_eq!(skew("9999-12-31T23:59:59Z").map(i64::signum), Some(1));
        for unreadable in ["", "yesterday", "17", "2026-05-24"] {
            assert_eq!(skew(unreadable), None, "{unreadable}");
        }
        assert_eq!(clock_skew_ms(None, arrived), None);
    }
}
