//! Fields of a merge patch (RFC 7396): absent, null, or a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Checks;

/// What a patch says of one field. An absent field needs `#[serde(default)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// It is not in the patch and stays as it is.
    #[default]
    Keep,
    /// It is null: the value goes.
    Clear,
    /// It is given a value.
    Set(T),
}

impl<T> Field<T> {
    /// Whether it is not in the patch.
    pub(super) fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Changes a value that may be absent.
    pub(super) fn apply(self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *value = None,
            Self::Set(new) => *value = Some(new),
        }
    }

    /// Changes a value that must not be absent.
    pub(super) fn apply_required(self, checks: &mut Checks, field: &str, value: &mut T) {
        match self {
            Self::Keep => {}
            Self::Clear => checks.refuse(field, "is required and cannot be removed"),
            Self::Set(new) => *value = new,
        }
    }
}

impl<T: Serialize> Serialize for Field<T> {
    /// A field that is kept must be left out by `#[serde(skip_serializing_if = "Field::is_keep")]`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Patch {
        #[serde(default)]
        city: Field<String>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let patched = |json: &str| {
            let patch: Patch = serde_json::from_str(json).unwrap();
            let mut city = Some("JAKARTA".to_owned());
            patch.city.apply(&mut city);
            city
        };
        assert_eq!(patched("{}").as_deref(), Some("JAKARTA"));
        assert_eq!(patched(r#"{"city": null}"#), None);
        assert_eq!(
            patched(r#"{"city": "BANDUNG"}"#).as_deref(),
            Some("BANDUNG")
        );
    }

    #[test]
    fn what_is_required_cannot_be_removed() {
        let mut checks = Checks::default();
        let mut name = "Warung".to_owned();
        Field::Clear.apply_required(&mut checks, "name", &mut name);
        assert_eq!(name, "Warung");
        assert!(checks.finish().is_err());
    }
}
