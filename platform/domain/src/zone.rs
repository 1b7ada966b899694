//! The time zones of Indonesia: what the clocks of an outlet show.

use chrono::{DateTime, FixedOffset, Utc};

/// A time zone of an outlet. None has daylight saving time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Waktu Indonesia Barat, UTC+7.
    Wib,
    /// Waktu Indonesia Tengah, UTC+8.
    Wita,
    /// Waktu Indonesia Timur, UTC+9.
    Wit,
}

impl Zone {
    /// That of a name of the IANA database. One that is none of Indonesia's is taken for that of Jakarta.
    pub fn of(name: &str) -> Self {
        match name {
            "Asia/Makassar" => Self::Wita,
            "Asia/Jayapura" => Self::Wit,
            _ => Self::Wib,
        }
    }

    /// How people write it after a time.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wib => "WIB",
            Self::Wita => "WITA",
            Self::Wit => "WIT",
        }
    }

    const fn hours(self) -> i32 {
        match self {
            Self::Wib => 7,
            Self::Wita => 8,
            Self::Wit => 9,
        }
    }

    /// A moment as people there write it, to the second: `2026-05-24 18:03:05 WITA`.
    pub fn format(self, at: DateTime<Utc>) -> String {
        let offset = FixedOffset::east_opt(self.hours() * 3600).expect("less than a day");
        let local = at.with_timezone(&offset).naive_local();
        format!("{} {}", local.format("%Y-%m-%d %H:%M:%S"), self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_clocks_of_the_place_show_it() {
        let at = "2026-11-26T16:30:00Z".parse().unwrap();
        let written = [
            "Asia/Jakarta",
            "Asia/Pontianak",
            "Asia/Makassar",
            "Asia/Jayapura",
            "Mars",
        ]
        .map(|name| Zone::of(name).format(at));
        let expected = [
            "2026-11-26 23:30:00 WIB",
            "2026-11-26 23:30:00 WIB",
            "2026-11-27 00:30:00 WITA",
            "2026-11-27 01:30:00 WIT",
            "2026-11-26 23:30:00 WIB",
        ];
        assert_eq!(written, expected);
    }
}
