//! Reading a partner's message whose signature was checked: strict about money, lenient about everything else.
//!
//! Only the order or the payee, the amount, the currency, the status and the reference decide what a message means; these
//! are read by [`deciding`], and a message in which one of them cannot be read is refused. Everything else describes the
//! payment and never refuses it. [`Lenient`] normalises it: `null`, an empty text, an empty array and an empty object are
//! absent, a number is as good as its text, white space at the ends is removed, a control character is a space, what is
//! too long is cut and ends in [`CUT_MARK`], and what cannot be read is dropped. What was cut or dropped is listed, so that
//! it can be counted.
//!
//! The messages of all dialects are read with this.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone as _, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest text of a message that is kept, in bytes.
pub const TEXT_LEN_MAX: usize = 128;
/// What a text ends in that was cut.
pub const CUT_MARK: char = '…';

/// How a partner writes times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    /// Of a time that names no zone.
    pub(crate) zone: FixedOffset,
    /// Forms of the partner's own, as [`NaiveDateTime::parse_from_str`] reads them, after the usual ones.
    pub(crate) forms: Vec<String>,
}

impl Times {
    /// The clock of a time that names no zone: WIB.
    pub(crate) const WIB: FixedOffset =
        FixedOffset::east_opt(7 * 3600).expect("seven hours are an offset");

    /// The usual forms, in WIB.
    pub(crate) const fn usual() -> Self {
        Self {
            zone: Self::WIB,
            forms: Vec::new(),
        }
    }
}

/// What was done to a field that could not be used as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Too long: its beginning is used.
    Cut,
    /// Not readable: it is not used.
    Dropped,
}

impl Change {
    /// The word for it in a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Dropped => "dropped",
        }
    }
}

/// One field that was normalised at a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// The name of the field in our own words, the same for every profile.
    pub field: &'static str,
    /// What was done to it.
    pub change: Change,
}

/// A JSON object with its values as they were written, so that no amount passes through a binary float.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The first value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    /// The first of these names that is there more than once.
    pub(crate) fn repeated<'n, N: AsRef<str>>(&self, names: &'n [N]) -> Option<&'n str> {
        names
            .iter()
            .map(AsRef::as_ref)
            .find(|name| self.0.iter().filter(|(known, _)| known == name).count() > 1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A value as a text, where it can be one.
enum Scalar {
    /// Not there, `null`, or empty.
    Absent,
    /// A text without white space at its ends, or a number as it was written.
    Text(String),
    /// Something else.
    Unreadable,
}

fn scalar(raw: Option<&RawValue>) -> Scalar {
    let Some(raw) = raw else {
        return Scalar::Absent;
    };
    let written = raw.get();
    match written.as_bytes().first() {
        Some(b'n') => Scalar::Absent,
        Some(b'"') => match serde_json::from_str::<String>(written) {
            Ok(text) => match trim(&text) {
                "" => Scalar::Absent,
                text => Scalar::Text(text.to_owned()),
            },
            // A lone surrogate is JSON, and no text.
            Err(_) => Scalar::Unreadable,
        },
        Some(b'-' | b'0'..=b'9') => Scalar::Text(written.to_owned()),
        Some(b'[' | b'{') if is_empty_container(written) => Scalar::Absent,
        _ => Scalar::Unreadable,
    }
}

/// Whether a value is there: not `null`, and not empty.
pub(crate) fn is_present(raw: &RawValue) -> bool {
    !matches!(scalar(Some(raw)), Scalar::Absent)
}

/// Trims characters without a visible form at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200B}' | '\u{FEFF}')
    })
}

fn is_empty_container(written: &str) -> bool {
    let inner = written.get(1..written.len().saturating_sub(1));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// Reads a text that decides: without white space at its ends; a number is as good as its text. `None` when it is absent.
///
/// # Errors
/// What is wrong with it, when it is no text, longer than [`TEXT_LEN_MAX`], or has control characters.
pub(crate) fn deciding(raw: Option<&RawValue>) -> Result<Option<String>, String> {
    match scalar(raw) {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) if text.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control) => {
            Ok(Some(text))
        }
        Scalar::Text(_) => Err(format!(
            "expected 1 to {TEXT_LEN_MAX} bytes without control characters"
        )),
        Scalar::Unreadable => Err("expected a text".to_owned()),
    }
}

/// Reads what does not decide, and lists what it had to change.
#[derive(Debug, Default)]
pub(crate) struct Lenient {
    adjustments: Vec<Adjustment>,
}

impl Lenient {
    /// What was cut and dropped.
    pub(crate) fn into_adjustments(self) -> Vec<Adjustment> {
        self.adjustments
    }

    /// Lists a field that a caller could not use.
    pub(crate) fn drop_field(&mut self, field: &'static str) {
        let change = Change::Dropped;
        self.adjustments.push(Adjustment { field, change });
    }

    /// A text of at most [`TEXT_LEN_MAX`] bytes.
    pub(crate) fn text(&mut self, field: &'static str, raw: Option<&RawValue>) -> Option<String> {
        match scalar(raw) {
            Scalar::Absent => None,
            Scalar::Unreadable => {
                self.drop_field(field);
                None
            }
            Scalar::Text(text) => {
                let visible = text.replace(char::is_control, " ");
                let (kept, was_cut) = cut(&visible);
                if was_cut {
                    let change = Change::Cut;
                    self.adjustments.push(Adjustment { field, change });
                }
                Some(kept)
            }
        }
    }

    /// A moment, in one of the forms in which partners write them. One without a zone is in the partner's.
    pub(crate) fn time(
        &mut self,
        field: &'static str,
        raw: Option<&RawValue>,
        times: &Times,
    ) -> Option<DateTime<Utc>> {
        match scalar(raw) {
            Scalar::Absent => None,
            Scalar::Text(text) => {
                let time = time(&text, times);
                if time.is_none() {
                    self.drop_field(field);
                }
                time
            }
            Scalar::Unreadable => {
                self.drop_field(field);
                None
            }
        }
    }
}

/// The beginning of a text that fits, and whether that is less than all of it.
fn cut(text: &str) -> (String, bool) {
    if text.len() <= TEXT_LEN_MAX {
        return (text.to_owned(), false);
    }
    let end = text.floor_char_boundary(TEXT_LEN_MAX - CUT_MARK.len_utf8());
    (format!("{}{CUT_MARK}", &text[..end]), true)
}

/// Times with a zone, as [`DateTime::parse_from_str`] reads them, after RFC 3339.
const ZONED: [&str; 4] = [
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M%#z",
];
/// Times without a zone.
const LOCAL: [&str; 6] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y%m%d%H%M%S",
];

pub(crate) fn time(text: &str, times: &Times) -> Option<DateTime<Utc>> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // 14 digits are a date and a time; 10 are Unix seconds, 13 milliseconds.
        return match text.len() {
            14 => local(text, times),
            10 => DateTime::from_timestamp(text.parse().ok()?, 0),
            13 => DateTime::from_timestamp_millis(text.parse().ok()?),
            _ => None,
        };
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let zoned = |form: &&str| DateTime::parse_from_str(text, form).ok();
    ZONED
        .iter()
        .find_map(zoned)
        .map(|time| time.to_utc())
        .or_else(|| local(text, times))
}

fn local(text: &str, times: &Times) -> Option<DateTime<Utc>> {
    let own = times.forms.iter().map(String::as_str);
    LOCAL
        .into_iter()
        .chain(own)
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .and_then(|time| times.zone.from_local_datetime(&time).single())
        .map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads one value as text that does not decide, with what became of it.
    fn text(written: &str) -> (Option<String>, Option<Change>) {
        let raw: &RawValue = serde_json::from_str(written).unwrap();
        let mut lenient = Lenient::default();
        let read = lenient.text("field", Some(raw));
        let change = lenient.into_adjustments().pop().map(|one| one.change);
        (read, change)
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_empty_is_absent_and_a_number_is_its_text() {
        for absent in [
            "null",
            "\"\"",
            "\"  \\t\\n \"",
            "\"\\u0000\"",
            "\"\\ufeff\"",
            "[]",
            "[ ]",
            "{}",
        ] {
            assert_eq!(text(absent), (None, None), "{absent}");
        }
        for (written, read) in [
            ("\" BCA \"", "BCA"),
            ("12", "12"),
            ("-1.50", "-1.50"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("\"a\\u0000b\\nc\"", "a b c"),
        ] {
            assert_eq!(text(written), (Some(read.to_owned()), None), "{written}");
        }
        for dropped in ["true", "false", "[1]", "{\"a\":1}", "\"\\ud800\""] {
            assert_eq!(text(dropped), (None, Some(Change::Dropped)), "{dropped}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_marked() {
        for character in ["x", "é", "€", "🙂"] {
            let written = serde_json::to_string(&character.repeat(200)).unwrap();
            let (read, change) = text(&written);
            let read = read.unwrap();
            assert_eq!(change, Some(Change::Cut));
            assert!(
                read.len() <= TEXT_LEN_MAX && read.ends_with(CUT_MARK),
                "{read}"
            );
            assert!(
                read.trim_end_matches(CUT_MARK)
                    .chars()
                    .all(|c| character.contains(c))
            );
        }
        let fits = "x".repeat(TEXT_LEN_MAX);
        assert_eq!(text(&format!("\"{fits}\"")), (Some(fits), None));
    }

    #[test]
    fn times_are_read_in_every_form_and_without_a_zone_in_wib() {
        let expected = utc("2026-05-23T10:00:00Z");
        for written in [
            "2026-05-23T17:00:00+07:00",
            "2026-05-23T17:00:00+0700",
            "2026-05-23T17:00:00+07",
            "2026-05-23T10:00:00Z",
            "2026-05-23T10:00:00.000Z",
            "2026-05-23 17:00:00+07:00",
            "2026-05-23 17:00:00 +0700",
            "2026-05-23T17:00+07:00",
            "2026-05-23T17:00:00",
            "2026-05-23T17:00:00.000",
            "2026-05-23 17:00:00",
            "2026/05/23 17:00:00",
            "2026-05-23T17:00",
            "2026-05-23 17:00",
            "20260523170000",
            "1779530400",
            "1779530400000",
        ] {
            assert_eq!(time(written, &Times::usual()), Some(expected), "{written}");
        }
        for unreadable in [
            "yesterday",
            "2026-05-23",
            "17:00:00",
            "2026-13-01T00:00:00Z",
            "23/05/2026 17:00",
            "1",
            "99999999999999999999",
            "+99999-01-01T00:00:00Zx",
        ] {
            assert_eq!(time(unreadable, &Times::usual()), None, "{unreadable}");
        }
    }

    #[test]
    fn what_decides_is_trimmed_and_never_cut() {
        let read = |written: &str| deciding(Some(serde_json::from_str(written).unwrap()));
        assert_eq!(read("\" ref-1 \""), Ok(Some("ref-1".to_owned())));
        assert_eq!(read("20201029"), Ok(Some("20201029".to_owned())));
        assert_eq!(read("\" \""), Ok(None));
        let too_long = format!("\"{}\"", "x".repeat(TEXT_LEN_MAX + 1));
        for refused in [too_long.as_str(), "\"a\\nb\"", "true", "[1]"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic_or_is_kept_too_long(written in "\\PC{0,300}", chars: Vec<char>) {
            let of_chars: String = chars.into_iter().collect();
            for text in [written, of_chars] {
                let json = serde_json::to_string(&text).unwrap();
                let raw: &RawValue = serde_json::from_str(&json).unwrap();
                let mut lenient = Lenient::default();
                let read = lenient.text("field", Some(raw)).unwrap_or_default();
                prop_assert!(read.len() <= TEXT_LEN_MAX && !read.chars().any(char::is_control));
                let _ = lenient.time("field", Some(raw), &Times::usual());
                let _ = deciding(Some(raw));
            }
        }
    }
}
