//! Values of unknown fields.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// Any value: a number, a text or a Boolean as itself, everything else as nothing. Reading never fails because of the
/// kind of value, so an unknown field never makes a message invalid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Simple(pub(crate) Option<Value>);

impl<'de> Deserialize<'de> for Simple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SimpleVisitor;

        impl<'de> Visitor<'de> for SimpleVisitor {
            type Value = Simple;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Simple, E> {
                Ok(Simple(Some(Value::Bool(value))))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Simple, E> {
                Ok(Simple(Some(value.into())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Simple, E> {
                Ok(Simple(Some(value.into())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Simple, E> {
                Ok(Simple(Number::from_f64(value).map(Value::Number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Simple, E> {
                Ok(Simple(Some(Value::String(text.to_owned()))))
            }

            fn visit_bytes<E>(self, _: &[u8]) -> Result<Simple, E> {
                Ok(Simple(None))
            }

            fn visit_none<E>(self) -> Result<Simple, E> {
                Ok(Simple(None))
            }

            fn visit_unit<E>(self) -> Result<Simple, E> {
                Ok(Simple(None))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Simple, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Simple, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Simple(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Simple, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Simple(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Simple, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Simple(None))
            }
        }

        deserializer.deserialize_any(SimpleVisitor)
    }
}
