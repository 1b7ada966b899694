//! Lenient reading of descriptive fields.
//!
//! A few fields of a message decide its effect: the sender, the subject, the outcome. All others are descriptive and must
//! never make a message invalid, because a box repeats a refused message until it is accepted. A descriptive field is
//! normalised instead:
//!
//! - text and numbers are interchangeable, surrounding blanks are trimmed, an empty text or null is absent;
//! - control characters become blanks;
//! - a text that is too long is cut and ends in [`CUT_MARK`];
//! - a value of another kind is dropped, or kept as its JSON text if people read the field.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};

/// The end of a text that was cut.
pub const CUT_MARK: &str = "…[cut]";

/// The longest JSON text of a structured value that is kept whole, bytes.
pub(crate) const VALUE_LEN_MAX: usize = 16 * 1024;
/// The deepest nesting of a structured value.
pub(crate) const VALUE_DEPTH_MAX: usize = 16;
/// The part of a longer value's JSON text that is kept, bytes.
const SUMMARY_LEN_MAX: usize = 4 * 1024;

/// `text` without control characters and surrounding blanks, at most `len_max` bytes with the mark of a cut.
pub fn cut(text: &str, len_max: usize) -> String {
    let plain = plain(text);
    if plain.len() <= len_max {
        return plain;
    }
    let kept = plain.floor_char_boundary(len_max.saturating_sub(CUT_MARK.len()));
    format!("{}{CUT_MARK}", &plain[..kept])
}

/// `text` with blanks in place of control characters, trimmed.
fn plain(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    plain.trim().to_owned()
}

/// A value as text: a text or a number, unless it is empty.
pub fn text(value: &Value) -> Option<String> {
    let read = match value {
        Value::String(text) => plain(text),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!read.is_empty()).then_some(read)
}

/// A value as a whole number: an integer, a number whose fraction is zero, or either of them as text.
pub fn whole(value: &Value) -> Option<i64> {
    let read = text(value)?;
    let whole = match read.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => &read,
    };
    whole.parse().ok()
}

/// A value as a text for people: like [`text`], and any other value as its JSON text; cut.
fn remark(value: &Value, len_max: usize) -> Option<String> {
    let read = match value {
        Value::Null => return None,
        Value::String(_) | Value::Number(_) => text(value)?,
        other => other.to_string(),
    };
    Some(cut(&read, len_max)).filter(|kept| !kept.is_empty())
}

/// A short descriptive text, such as a firmware's version: at most `MAX` bytes. Anything but a text or a number is absent.
///
/// # Errors
/// Only those of the encoding.
pub fn short<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = any(deserializer)?;
    Ok(text(&value)
        .map(|read| cut(&read, MAX))
        .filter(|kept| !kept.is_empty()))
}

/// A text for people, such as a reason: at most `MAX` bytes.
///
/// # Errors
/// Only those of the encoding.
pub fn words<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(remark(&any(deserializer)?, MAX))
}

/// A structured value that a database can store. One that is too long is replaced by a summary:
/// `{"cut": true, "bytes": …, "start": "…"}`.
///
/// # Errors
/// Only those of the encoding.
pub fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value = any(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let json = value.to_string();
    if json.len() <= VALUE_LEN_MAX {
        return Ok(Some(value));
    }
    Ok(Some(serde_json::json!({
        "cut": true,
        "bytes": json.len(),
        "start": cut(&json, SUMMARY_LEN_MAX),
    })))
}

/// A deciding name, which may also be a number; empty when it is absent.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(text(&any(deserializer)?).unwrap_or_default())
}

/// An optional [`name`].
pub(crate) fn optional_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(text(&any(deserializer)?))
}

/// A deciding whole number.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    whole(&any(deserializer)?).ok_or_else(|| D::Error::custom("expected a whole number"))
}

/// Any value, up to the nesting of [`VALUE_DEPTH_MAX`].
pub(crate) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    AnyValue {
        depth: VALUE_DEPTH_MAX,
    }
    .deserialize(deserializer)
}

/// Reads any value of either encoding as JSON. What JSON or a database cannot store is replaced: binary by its base64,
/// NUL by U+FFFD, values nested deeper than `depth` by [`CUT_MARK`], and NaN and infinities by null. Deeper parts are
/// skipped without recursion where the format allows it.
#[derive(Clone, Copy)]
struct AnyValue {
    depth: usize,
}

impl AnyValue {
    fn inner(self) -> Self {
        Self {
            depth: self.depth.saturating_sub(1),
        }
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(without_nul(text)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::String(STANDARD.encode(bytes)))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        if self.depth == 0 {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(CUT_MARK.into());
        }
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inner())? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        if self.depth == 0 {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(CUT_MARK.into());
        }
        let mut fields = Map::new();
        // A key that is neither a text nor a number cannot be a JSON name.
        while let Some(key) = map.next_key_seed(Self { depth: 0 })? {
            match text(&key) {
                Some(name) => {
                    fields.insert(name, map.next_value_seed(self.inner())?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cut_text_is_marked_and_within_the_limit() {
        assert_eq!(cut(" as it is\n", 9), "as it is");
        assert_eq!(cut("one\r\ntwo", 20), "one  two");
        assert_eq!(cut("0123456789abcdef", 12), "0123…[cut]");
        assert_eq!(cut("éééééééééé", 13), "éé…[cut]");
        assert_eq!(cut("0123456789", 2), CUT_MARK);
    }

    #[test]
    fn text_and_numbers_are_interchangeable() {
        assert_eq!(text(&json!(" a ")).as_deref(), Some("a"));
        assert_eq!(text(&json!(7)).as_deref(), Some("7"));
        for absent in [
            json!(""),
            json!("  "),
            json!(null),
            json!(true),
            json!([]),
            json!({}),
        ] {
            assert_eq!(text(&absent), None, "{absent}");
        }
        for seven in [
            json!(7),
            json!("7"),
            json!(7.0),
            json!("7.00"),
            json!(" 7 "),
        ] {
            assert_eq!(whole(&seven), Some(7), "{seven}");
        }
        for other in [
            json!(7.5),
            json!("7a"),
            json!(""),
            json!(u64::MAX),
            json!(1e300),
        ] {
            assert_eq!(whole(&other), None, "{other}");
        }
    }

    fn read(json: &str) -> Option<Value> {
        value(&mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    #[test]
    fn a_value_is_kept_as_far_as_a_database_can_store_it() {
        assert_eq!(read("null"), None);
        assert_eq!(
            read(r#"{"a": [1, "b\n"]}"#),
            Some(json!({ "a": [1, "b\n"] }))
        );
        assert_eq!(
            read(r#"{"a\u0000": "\u0000"}"#),
            Some(json!({ "a\u{fffd}": "\u{fffd}" }))
        );
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let whole = read(&nested(VALUE_DEPTH_MAX)).unwrap().to_string();
        assert_eq!(whole, nested(VALUE_DEPTH_MAX));
        for levels in [VALUE_DEPTH_MAX + 1, 100, 20_000] {
            let kept = read(&nested(levels)).unwrap().to_string();
            let expected = nested(VALUE_DEPTH_MAX).replace('1', &format!("\"{CUT_MARK}\""));
            assert_eq!(kept, expected, "{levels}");
        }
        let long = read(&json!({ "log": "x".repeat(20_000) }).to_string()).unwrap();
        assert_eq!(
            (&long["cut"], &long["bytes"]),
            (&json!(true), &json!(20_010))
        );
        let start = long["start"].as_str().unwrap();
        assert!(start.starts_with("{\"log\":\"xxx") && start.ends_with(CUT_MARK));
        assert!(long.to_string().len() <= VALUE_LEN_MAX);
    }

    proptest! {
        #[test]
        fn a_cut_text_is_plain_and_never_too_long(text in "\\PC{0,40}[\\x00-\\x1f]{0,3}\\PC{0,40}", len_max in 8usize..64) {
            let kept = cut(&text, len_max);
            prop_assert!(kept.len() <= len_max);
            prop_assert!(!kept.chars().any(char::is_control));
        }
    }
}
