//! The settings of a box: the keys of the configuration, read and checked as a whole. A box applies a configuration
//! completely or refuses it with a reason.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::Language;

/// The highest volume.
pub const VOLUME_MAX: u8 = 10;

/// The default volume limit in quiet hours. It is not zero: a payment must be heard.
const QUIET_VOLUME: u8 = 2;

/// The longest part of an unknown key in a reason, in characters.
const KEY_CHARS_MAX: usize = 64;

/// The box's time zone: western Indonesia (WIB), UTC+7 without daylight saving time.
const LOCAL: TimeDelta = TimeDelta::hours(7);

/// The settings of one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The volume, 0–10.
    pub volume: u8,
    /// The language of the box's own sentences. Payments carry theirs.
    pub language: Language,
    /// The time between heartbeats, in seconds.
    pub heartbeat_interval_s: u32,
    /// When the volume is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// The longest additional wait before a reconnect, in seconds, so that a fleet does not reconnect all at once.
    pub reconnect_jitter_s: u32,
    /// The brightness of the display, 0–100.
    pub display_brightness: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            volume: 8,
            language: Language::Id,
            heartbeat_interval_s: 30,
            quiet_hours: None,
            reconnect_jitter_s: 0,
            display_brightness: 80,
        }
    }
}

/// A daily period, possibly over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuietHours {
    /// The start, in western Indonesian time.
    #[serde(serialize_with = "as_clock")]
    pub start: NaiveTime,
    /// The end, exclusive.
    #[serde(serialize_with = "as_clock")]
    pub end: NaiveTime,
    /// The volume limit.
    pub volume: u8,
}

fn as_clock<S: serde::Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.format("%H:%M").to_string())
}

/// Quiet hours in the configuration: `{"start": "22:00", "end": "06:00", "volume": 2}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuietHoursConfig {
    start: String,
    end: String,
    #[serde(default)]
    volume: Option<u8>,
}

impl QuietHours {
    fn read(value: &Value) -> Result<Self, String> {
        let wrong = |problem: &str| format!("quiet_hours: {problem}");
        let written = QuietHoursConfig::deserialize(value)
            .map_err(|error| wrong(&shortened(&error.to_string())))?;
        let clock = |text: &str| {
            NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| wrong("a time is HH:MM"))
        };
        let volume = written.volume.unwrap_or(QUIET_VOLUME);
        if volume > VOLUME_MAX {
            return Err(wrong("volume is from 0 to 10"));
        }
        Ok(Self {
            start: clock(&written.start)?,
            end: clock(&written.end)?,
            volume,
        })
    }

    fn include(&self, time: DateTime<Utc>) -> bool {
        let local = (time + LOCAL).time();
        if self.start <= self.end {
            self.start <= local && local < self.end
        } else {
            local >= self.start || local < self.end
        }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}–{}",
            self.start.format("%H:%M"),
            self.end.format("%H:%M")
        )
    }
}

impl Settings {
    /// Reads a whole configuration; missing keys have the defaults of a new box.
    ///
    /// # Errors
    /// The first unknown key or invalid value, as a text for operators.
    pub fn read(config: &Value) -> Result<Self, String> {
        let mut settings = Self::default();
        let keys = match config {
            Value::Null => return Ok(settings),
            Value::Object(keys) => keys,
            _ => return Err("the configuration is no object".to_owned()),
        };
        for (key, value) in keys.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "volume" => settings.volume = number(key, value, 0, VOLUME_MAX.into())?,
                "language" => {
                    settings.language = value
                        .as_str()
                        .and_then(|tag| tag.parse().ok())
                        .ok_or_else(|| "language: this box speaks id, en, jv and su".to_owned())?;
                }
                "heartbeat_interval_s" => {
                    settings.heartbeat_interval_s = number(key, value, 1, 86_400)?;
                }
                // It decides what the platform writes into a sentence; the box says what it was sent.
                "announce_merchant_name" => {
                    value
                        .as_bool()
                        .ok_or_else(|| format!("{key}: true or false"))?;
                }
                "quiet_hours" => settings.quiet_hours = Some(QuietHours::read(value)?),
                "reconnect_jitter_s" => {
                    settings.reconnect_jitter_s = number(key, value, 0, 3_600)?;
                }
                "display_brightness" => settings.display_brightness = number(key, value, 0, 100)?,
                unknown => return Err(format!("unknown key: {}", shortened(unknown))),
            }
        }
        Ok(settings)
    }

    /// The volume at this time.
    pub fn volume_at(&self, time: DateTime<Utc>) -> u8 {
        match &self.quiet_hours {
            Some(quiet) if quiet.include(time) => self.volume.min(quiet.volume),
            _ => self.volume,
        }
    }

    /// The time between heartbeats.
    pub fn heartbeat_interval(&self) -> Duration {
        Duration::from_secs(self.heartbeat_interval_s.into())
    }

    /// The longest additional wait before a reconnect.
    pub fn reconnect_jitter(&self) -> Duration {
        Duration::from_secs(self.reconnect_jitter_s.into())
    }
}

fn number<T: TryFrom<u64>>(key: &str, value: &Value, min: u64, max: u64) -> Result<T, String> {
    value
        .as_u64()
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{key}: a whole number from {min} to {max}"))
}

fn shortened(text: &str) -> String {
    text.chars().take(KEY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_applied_whole_or_refused_with_a_reason() {
        let whole = json!({
            "volume": 3, "language": "en-GB", "heartbeat_interval_s": 60, "reconnect_jitter_s": 20,
            "display_brightness": 40, "quiet_hours": { "start": "22:00", "end": "06:30", "volume": 1 },
        });
        let settings = Settings::read(&whole).unwrap();
        assert_eq!((settings.volume, settings.language), (3, Language::En));
        assert_eq!(settings.heartbeat_interval(), Duration::from_secs(60));
        assert_eq!(settings.reconnect_jitter(), Duration::from_secs(20));
        assert_eq!(settings.quiet_hours.unwrap().to_string(), "22:00–06:30");
        assert_eq!(Settings::read(&json!({})), Ok(Settings::default()));
        assert_eq!(
            Settings::read(&json!({ "quiet_hours": null })),
            Ok(Settings::default())
        );

        for (config, reason) in [
            (json!({ "colour": "red" }), "unknown key: colour"),
            (
                json!({ "volume": 11 }),
                "volume: a whole number from 0 to 10",
            ),
            (
                json!({ "volume": 1.5 }),
                "volume: a whole number from 0 to 10",
            ),
            (
                json!({ "language": "tlh" }),
                "language: this box speaks id, en, jv and su",
            ),
            (
                json!({ "heartbeat_interval_s": 0 }),
                "heartbeat_interval_s: a whole number from 1 to 86400",
            ),
            (
                json!({ "quiet_hours": { "start": "25:00", "end": "06:00" } }),
                "quiet_hours: a time is HH:MM",
            ),
            (json!([]), "the configuration is no object"),
        ] {
            assert_eq!(Settings::read(&config), Err(reason.to_owned()), "{config}");
        }
        let long = Settings::read(&json!({ "x".repeat(1_000): 1 })).unwrap_err();
        assert!(long.len() < 128);
    }

    #[test]
    fn quiet_hours_limit_the_volume_and_never_silence_the_box() {
        let settings = Settings::read(&json!({
            "volume": 9, "quiet_hours": { "start": "22:00", "end": "06:00" },
        }))
        .unwrap();
        // Jakarta is seven hours ahead.
        for (time, volume) in [
            ("2026-05-24T14:59:59Z", 9),
            ("2026-05-24T15:00:00Z", 2),
            ("2026-05-24T22:59:59Z", 2),
            ("2026-05-24T23:00:00Z", 9),
        ] {
            assert_eq!(settings.volume_at(time.parse().unwrap()), volume, "{time}");
        }
        let softer = Settings {
            volume: 1,
            ..settings
        };
        assert_eq!(softer.volume_at("2026-05-24T15:00:00Z".parse().unwrap()), 1);
    }
}
