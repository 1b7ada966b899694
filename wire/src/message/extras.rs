//! Additional fields of heartbeats: simple values are kept as they are, others are ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use crate::simple::Simple;

/// The most extra fields that are kept.
const FIELDS_MAX: usize = 32;

/// The longest name that is kept.
const NAME_LEN_MAX: usize = 64;

/// The longest text that is kept.
const TEXT_LEN_MAX: usize = 256;

/// The extra fields of a heartbeat, by name: at most 32, each a number, a Boolean or a short text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras(BTreeMap<String, Value>);

impl Extras {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Adds a field. One too many, or one that is too long or not simple, is ignored.
    pub fn insert(&mut self, name: &str, value: Value) {
        let plain =
            |text: &str, len_max| text.len() <= len_max && !text.chars().any(char::is_control);
        let simple = match &value {
            Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => plain(text, TEXT_LEN_MAX),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if simple
            && plain(name, NAME_LEN_MAX)
            && name != "message_type"
            && self.0.len() < FIELDS_MAX
        {
            self.0.insert(name.to_owned(), value);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// All fields as one JSON object.
    pub fn to_value(&self) -> Value {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl Serialize for Extras {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de> Deserialize<'de> for Extras {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtrasVisitor;

        impl<'de> Visitor<'de> for ExtrasVisitor {
            type Value = Extras;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("extra fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extras, A::Error> {
                let mut extras = Extras::default();
                while let Some((name, Simple(value))) = map.next_entry::<String, Simple>()? {
                    if let Some(value) = value {
                        extras.insert(&name, value);
                    }
                }
                Ok(extras)
            }
        }

        deserializer.deserialize_map(ExtrasVisitor)
    }
}
