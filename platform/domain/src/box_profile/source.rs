//! The text of a profile that is being read, and where in it an error is.

use toml::Spanned;

use super::error::ProfileError;
use super::template::{Placeholder, Template};

pub(super) type Result<T> = std::result::Result<T, ProfileError>;

/// The text that is being read, for errors.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn at(
        &self,
        offset: usize,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) -> ProfileError {
        let before = self.text.as_bytes().iter().take(offset);
        ProfileError {
            profile: self.name.to_owned(),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
            key: key.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn error<T>(
        &self,
        place: &Spanned<T>,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) -> ProfileError {
        self.at(place.span().start, key, problem)
    }

    /// What TOML or the list of known keys says. The key is the one that the message names, else the last one before the
    /// place of the error.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ProfileError {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message();
        let names_key = ["unknown field", "missing field", "duplicate field"]
            .iter()
            .any(|start| message.starts_with(start));
        let key = match message.split('`').nth(1) {
            Some(named) if names_key => named,
            _ => {
                let before = self.text.get(..offset).unwrap_or_default();
                let line = before.rsplit('\n').next().unwrap_or_default();
                let (key, _) = line.rsplit_once('=').unwrap_or((line, ""));
                key.rsplit([',', '{']).next().unwrap_or_default().trim()
            }
        };
        self.at(offset, key, message)
    }

    /// A template whose placeholders are among `known`.
    pub(super) fn template(
        &self,
        text: &Spanned<String>,
        key: &str,
        known: &[&[Placeholder]],
    ) -> Result<Template> {
        Template::parse(text.get_ref())
            .and_then(|template| known_only(&template, known).map(|()| template))
            .map_err(|problem| self.error(text, key, problem))
    }
}

/// Refuses a template with a placeholder that is not among `known`.
pub(super) fn known_only(
    template: &Template,
    known: &[&[Placeholder]],
) -> std::result::Result<(), String> {
    let unknown = template
        .placeholders()
        .find(|one| !known.iter().any(|list| list.contains(one)));
    match unknown {
        None => Ok(()),
        Some(one) => Err(format!("{{{one}}} has no value here")),
    }
}
