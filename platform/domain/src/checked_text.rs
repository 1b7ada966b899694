//! One way to write a text with a rule of form.

/// Declares a newtype over a text, with `as_str`, `Display`, `FromStr` and serde. `$check` gives what is kept of a text
/// that follows the rule; any other is `$error`.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $error_type:ty = $error:expr, $check:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error_type;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> Option<&str> = $check;
                check(text).map(|text| Self(text.to_owned())).ok_or($error)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error_type;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

pub(crate) use checked_text;
