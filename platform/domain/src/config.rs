//! What can be set on a box, in layers: the fleet's, the merchant's, the outlet's, the box's own. Each layer over the
//! one before it, key by key.

use serde::Serialize;
use serde_json::{Map, Value};
use wire::Language;

use crate::text_enum::text_enum;
use crate::validation::FieldError;

/// Settings by their keys.
pub type Settings = Map<String, Value>;

text_enum! {
    /// Whose settings a layer holds; each covers the ones before it.
    pub enum LayerKind as "configuration layer" {
        /// Every box's.
        Fleet = "fleet",
        /// Those of a merchant's boxes.
        Merchant = "merchant",
        /// Those of an outlet's boxes.
        Outlet = "outlet",
    }
}

text_enum! {
    /// What can be set.
    pub enum Key as "configuration key" {
        /// Loudness, 0–10.
        Volume = "volume",
        /// Language of speech: `id`, `en`, `jv`, `su`, or one of them with a region, like `id-ID`.
        Language = "language",
        /// Whether an announcement of a payment ends with the merchant's name.
        AnnounceMerchantName = "announce_merchant_name",
        /// Seconds between signs of life.
        HeartbeatIntervalS = "heartbeat_interval_s",
        /// `{start, end, volume?}`: when to be quieter, local time.
        QuietHours = "quiet_hours",
        /// The longest random wait before a reconnect, seconds.
        ReconnectJitterS = "reconnect_jitter_s",
        /// Percent.
        DisplayBrightness = "display_brightness",
    }
}

/// Applies a merge patch (RFC 7396) to a layer: null removes a key.
///
/// # Errors
/// Each key that does not exist, and each value that it cannot have; then nothing is changed.
pub fn patch(layer: &mut Settings, patch: &Settings) -> Result<(), Vec<FieldError>> {
    let mut patched = layer.clone();
    let mut wrong = Vec::new();
    for (name, change) in patch {
        let Ok(key) = name.parse::<Key>() else {
            wrong.push(FieldError::new(name, "is not a configuration key"));
            continue;
        };
        match merge(patched.get(name), change) {
            None => {
                patched.remove(name);
            }
            Some(value) => match key.check(&value) {
                Ok(()) => {
                    patched.insert(name.clone(), value);
                }
                Err(error) => wrong.push(error),
            },
        }
    }
    if wrong.is_empty() {
        *layer = patched;
        Ok(())
    } else {
        Err(wrong)
    }
}

/// RFC 7396 for one value; `None` removes it.
fn merge(value: Option<&Value>, change: &Value) -> Option<Value> {
    match change {
        Value::Null => None,
        Value::Object(changes) => {
            let mut fields = value
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            for (name, change) in changes {
                match merge(fields.get(name), change) {
                    None => fields.remove(name),
                    Some(value) => fields.insert(name.clone(), value),
                };
            }
            Some(Value::Object(fields))
        }
        other => Some(other.clone()),
    }
}

impl Key {
    fn check(self, value: &Value) -> Result<(), FieldError> {
        let within = |low: u64, high: u64| {
            let holds = value
                .as_u64()
                .is_some_and(|number| (low..=high).contains(&number));
            self.require(holds, &format!("a whole number from {low} to {high}"))
        };
        match self {
            Self::Volume => within(0, 10),
            Self::HeartbeatIntervalS => within(1, 86_400),
            Self::ReconnectJitterS => within(0, 3600),
            Self::DisplayBrightness => within(0, 100),
            Self::Language => self.require(
                value
                    .as_str()
                    .is_some_and(|tag| tag.parse::<Language>().is_ok()),
                &format!(
                    "one of {}, or one of them with a region, like id-ID",
                    Language::ALL.map(Language::as_str).join(", ")
                ),
            ),
            Self::AnnounceMerchantName => self.require(value.is_boolean(), "true or false"),
            Self::QuietHours => self.require(
                value.as_object().is_some_and(are_quiet_hours),
                "{start, end} as HH:MM, and a volume from 0 to 10 or none",
            ),
        }
    }

    fn require(self, holds: bool, rule: &str) -> Result<(), FieldError> {
        if holds {
            Ok(())
        } else {
            Err(FieldError::new(self.as_str(), rule))
        }
    }
}

fn are_quiet_hours(fields: &Settings) -> bool {
    let time = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(is_time)
    };
    let known = |name: &str| matches!(name, "start" | "end" | "volume");
    time("start")
        && time("end")
        && fields.keys().all(|name| known(name))
        && fields
            .get("volume")
            .is_none_or(|volume| volume.as_u64().is_some_and(|volume| volume <= 10))
}

/// `HH:MM` of a day.
fn is_time(text: &str) -> bool {
    let number = |part: &str, limit: u8| {
        part.len() == 2
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|number: u8| number < limit)
    };
    text.split_once(':')
        .is_some_and(|(hours, minutes)| number(hours, 24) && number(minutes, 60))
}

/// A key whose value on the box is not the one that it should have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// Which.
    pub key: String,
    /// What it should be; null: not set.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub desired: Value,
    /// What the box last said it applied; null: not set.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub reported: Value,
}

/// Where two configurations differ, by key.
pub fn difference(desired: &Settings, reported: &Settings) -> Vec<Difference> {
    let mut names: Vec<&String> = desired.keys().chain(reported.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| desired.get(*name) != reported.get(*name))
        .map(|name| Difference {
            key: name.clone(),
            desired: desired.get(name).cloned().unwrap_or_default(),
            reported: reported.get(name).cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_patch_sets_and_removes_and_leaves_the_rest() {
        let mut layer = settings(json!({ "volume": 8, "language": "id" }));
        let change = json!({ "volume": null, "quiet_hours": { "start": "22:00", "end": "06:00" } });
        patch(&mut layer, &settings(change)).unwrap();
        let quiet =
            json!({ "language": "id", "quiet_hours": { "start": "22:00", "end": "06:00" } });
        assert_eq!(Value::Object(layer.clone()), quiet);
        let change = json!({ "quiet_hours": { "end": "05:30", "volume": 2 } });
        patch(&mut layer, &settings(change)).unwrap();
        let later = json!({ "start": "22:00", "end": "05:30", "volume": 2 });
        assert_eq!(layer["quiet_hours"], later);
        patch(&mut layer, &settings(json!({ "quiet_hours": null }))).unwrap();
        assert_eq!(Value::Object(layer), json!({ "language": "id" }));
    }

    #[test]
    fn what_a_key_cannot_have_is_refused_and_changes_nothing() {
        for wrong in [
            json!({ "volume": 11 }),
            json!({ "volume": -1 }),
            json!({ "volume": 1.5 }),
            json!({ "volume": "loud" }),
            json!({ "language": "Indonesian" }),
            json!({ "language": "id-id" }),
            json!({ "language": "fr" }),
            json!({ "language": "tlh-ID" }),
            json!({ "language": 1 }),
            json!({ "announce_merchant_name": "yes" }),
            json!({ "heartbeat_interval_s": 0 }),
            json!({ "heartbeat_interval_s": 86_401 }),
            json!({ "reconnect_jitter_s": 3601 }),
            json!({ "display_brightness": 101 }),
            json!({ "quiet_hours": "at night" }),
            json!({ "quiet_hours": { "start": "22:00" } }),
            json!({ "quiet_hours": { "start": "24:00", "end": "06:00" } }),
            json!({ "quiet_hours": { "start": "22:00", "end": "6:00" } }),
            json!({ "quiet_hours": { "start": "22:00", "end": "06:00", "volume": 11 } }),
            json!({ "quiet_hours": { "start": "22:00", "end": "06:00", "colour": "red" } }),
            json!({ "colour": "red" }),
            json!({ "colour": null }),
        ] {
            let before = settings(json!({ "volume": 8 }));
            let mut layer = before.clone();
            let mut change = settings(wrong.clone());
            change.insert("display_brightness".to_owned(), json!(50));
            change.extend(settings(wrong.clone()));
            let errors = patch(&mut layer, &change).unwrap_err();
            assert_eq!(errors.len(), 1, "{wrong}");
            assert!(change.contains_key(&errors[0].field), "{wrong}");
            assert_eq!(layer, before, "{wrong}");
        }
    }

    #[test]
    fn every_language_that_has_a_grammar_can_be_set() {
        for language in Language::ALL {
            for tag in [language.to_string(), format!("{language}-ID")] {
                let mut layer = Settings::new();
                patch(&mut layer, &settings(json!({ "language": tag }))).unwrap();
                assert_eq!(layer["language"], tag);
            }
        }
    }

    #[test]
    fn differences_are_told_key_by_key() {
        let desired = settings(json!({ "volume": 8, "language": "id" }));
        let reported = settings(json!({ "volume": 3, "language": "id", "display_brightness": 10 }));
        let found: Vec<_> = difference(&desired, &reported)
            .into_iter()
            .map(|one| (one.key, one.desired, one.reported))
            .collect();
        let expected = [
            ("display_brightness".to_owned(), Value::Null, json!(10)),
            ("volume".to_owned(), json!(8), json!(3)),
        ];
        assert_eq!(found, expected);
        assert_eq!(difference(&desired, &desired), []);
    }
}
