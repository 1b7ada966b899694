//! The errors of an input that breaks a rule: which field, and why; which word was none of those expected.

/// One field of an input that breaks a rule, in words for the sender.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Path of the field in the sender's own words, for example `contact.email`.
    pub field: String,
    /// What is wrong with it; never repeats a secret.
    pub message: String,
}

impl FieldError {
    /// A complaint about one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A string that names no variant of a text enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {noun}; expected one of {expected}")]
pub struct UnknownVariant {
    /// What was being read, for a person.
    pub noun: &'static str,
    /// What was found, cut to a bounded length.
    pub value: String,
    /// The accepted words.
    pub expected: String,
}
