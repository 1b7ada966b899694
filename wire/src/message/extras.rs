//! What a newer box adds to its beats: a few simple values, kept as they come; anything else is passed over.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Number, Value};

/// How many extra fields are kept.
const FIELDS_MAX: usize = 32;

/// The longest name that is kept.
const NAME_LEN_MAX: usize = 64;

/// The longest text that is kept.
const TEXT_LEN_MAX: usize = 256;

/// Any value at all: a number, a text or a truth value as itself, everything else as nothing. Reading one never
/// fails on what the value is, so an unknown field can never cost a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra(Option<Value>);

impl Extra {
    /// The simple value, if it was one.
    pub fn into_value(self) -> Option<Value> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtraVisitor;

        impl<'de> Visitor<'de> for ExtraVisitor {
            type Value = Extra;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Extra, E> {
                Ok(Extra(Some(Value::Bool(value))))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Extra, E> {
                Ok(Extra(Some(value.into())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Extra, E> {
                Ok(Extra(Some(value.into())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Extra, E> {
                Ok(Extra(Number::from_f64(value).map(Value::Number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Extra, E> {
                Ok(Extra(Some(Value::String(text.to_owned()))))
            }

            fn visit_bytes<E>(self, _: &[u8]) -> Result<Extra, E> {
                Ok(Extra(None))
            }

            fn visit_none<E>(self) -> Result<Extra, E> {
                Ok(Extra(None))
            }

            fn visit_unit<E>(self) -> Result<Extra, E> {
                Ok(Extra(None))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Extra, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Extra, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Extra(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extra, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Extra(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Extra(None))
            }
        }

        deserializer.deserialize_any(ExtraVisitor)
    }
}

/// The extra fields of a beat, by name: at most 32, each a number, a truth value or a short text.
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

    /// Adds a field; what is too much, too long or not simple is left out.
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

    /// All of them as one JSON object.
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
                while let Some((name, Extra(value))) = map.next_entry::<String, Extra>()? {
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
