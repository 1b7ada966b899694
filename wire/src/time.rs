//! Times as text: RFC 3339 in UTC with milliseconds, `2026-05-24T10:00:00.000Z`.
//!
//! Times are written in exactly that form and read in any form of RFC 3339. A box's time is never a reason to refuse its
//! message, so uplinks read times through [`lenient`].

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// The text form of a time.
pub fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(crate) fn serialize<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(time.with_timezone(&Utc)),
        Err(_) => Err(D::Error::custom("not an RFC 3339 time")),
    }
}

/// The same for a field that may be absent.
pub(crate) mod optional {
    use super::{DateTime, Deserialize, Deserializer, Serializer, Utc};

    #[derive(serde::Deserialize)]
    struct Time(#[serde(with = "super")] DateTime<Utc>);

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
    }
}

/// A time from a box: any short text or number is kept as it was sent.
pub(crate) mod lenient {
    use serde_json::Value;

    use super::{Deserialize, Deserializer};
    use crate::simple::Simple;

    /// The longest text that is kept.
    const LEN_MAX: usize = 64;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        let sent = match Simple::deserialize(deserializer)?.0 {
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            _ => return Ok(None),
        };
        let kept = !sent.is_empty() && sent.len() <= LEN_MAX && !sent.chars().any(char::is_control);
        Ok(kept.then_some(sent))
    }
}
