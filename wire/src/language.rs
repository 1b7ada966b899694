//! The languages of announcements.

use std::fmt;
use std::str::FromStr;

/// A language that a box speaks: each has a grammar in [`crate::speech`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Language {
    /// Indonesian.
    #[default]
    Id,
    /// English.
    En,
    /// Javanese, in the everyday register (ngoko).
    Jv,
    /// Sundanese.
    Su,
}

/// A text that names none of the languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of id, en, jv, su")]
pub struct UnknownLanguage;

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::Id, Self::En, Self::Jv, Self::Su];

    /// Its BCP 47 tag, without a region.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::En => "en",
            Self::Jv => "jv",
            Self::Su => "su",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads a BCP 47 tag: a language alone (`jv`), or with a region of two letters (`id-ID`). The region changes nothing.
impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        let language = match text.split_once('-') {
            None => text,
            Some((language, region))
                if region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_uppercase()) =>
            {
                language
            }
            Some(_) => return Err(UnknownLanguage),
        };
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == language)
            .ok_or(UnknownLanguage)
    }
}

#[cfg(feature = "sqlx")]
crate::stored_as_text!(Language);

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Language {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Language {}

impl serde::Serialize for Language {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_with_and_without_a_region() {
        for language in Language::ALL {
            assert_eq!(language.as_str().parse(), Ok(language));
            assert_eq!(format!("{language}-ID").parse(), Ok(language));
        }
    }

    #[test]
    fn other_tags_are_refused() {
        for text in [
            "", "fr", "ID", "id-id", "id-", "id_ID", "in", "jav", "id-IDN", " id",
        ] {
            assert_eq!(text.parse::<Language>(), Err(UnknownLanguage), "{text:?}");
        }
    }
}
