//! `?lang=`: the language of files and pages that people read.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A language of files and pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Indonesian.
    #[default]
    Id,
    /// English.
    En,
}

impl Language {
    /// The text of this language.
    pub(super) fn pick<T>(self, indonesian: T, english: T) -> T {
        match self {
            Self::Id => indonesian,
            Self::En => english,
        }
    }
}

/// The language that a client asks for.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
pub(super) struct LanguageQuery {
    /// `id` (Indonesian, the default) or `en` (English).
    #[param(inline)]
    lang: Option<Language>,
}

impl LanguageQuery {
    /// Indonesian, unless another was asked for.
    pub(super) fn language(self) -> Language {
        self.lang.unwrap_or_default()
    }
}
