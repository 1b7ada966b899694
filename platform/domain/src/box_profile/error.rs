//! What can be wrong with a profile, with the values of a box, and with a message for it.

use super::template::Placeholder;

/// The longest value of a box, in bytes.
pub(super) const VALUE_LEN_MAX: usize = 64;

/// A profile that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("box profile {profile}, line {line}, {key}: {problem}")]
pub struct ProfileError {
    /// The profile's name.
    pub profile: String,
    /// The line of its text, from 1.
    pub line: usize,
    /// The key, with those of the tables around it as far as they are known.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A value of a box that its profile needs, and that it does not have or that cannot stand in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The box has no such value.
    #[error("the profile needs {0}")]
    Missing(Placeholder),
    /// The value is empty, too long, or has a character that has a meaning in topics.
    #[error(
        "{0} must have 1 to {max} visible ASCII characters other than / + # $",
        max = VALUE_LEN_MAX
    )]
    Invalid(Placeholder),
}

/// Why there are no bytes for a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The box has no such message.
    #[error("the box has no such message")]
    Unsupported,
    /// The time for it is over: the box could not know, because it has no clock of ours.
    #[error("the time for it is over")]
    TooLate,
    /// A value that the message needs and does not have, or that could be taken for something else on the box.
    #[error("{placeholder}: {problem}")]
    Value {
        /// Which.
        placeholder: Placeholder,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More bytes than the box takes.
    #[error("{bytes} bytes, and the box takes {bytes_max}")]
    TooLong {
        /// The length of the message.
        bytes: usize,
        /// What the box takes.
        bytes_max: usize,
    },
    /// The values of the box do not suit its profile.
    #[error(transparent)]
    Box(#[from] ValueError),
}
