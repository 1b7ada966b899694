//! One way to write an enum that travels as text: in JSON, in Postgres and in the documentation.

/// Declares an enum whose variants are words, with `as_str`, `ALL`, `Display`, `FromStr` and serde.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident as $noun:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every variant, in order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The word that stands for it in JSON and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::validation::UnknownVariant;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err($crate::validation::UnknownVariant {
                        noun: $noun,
                        value: text.chars().take(64).collect(),
                        expected: [$( $text, )+].join(", "),
                    }),
                }
            }
        }

        #[cfg(feature = "sqlx")]
        wire::stored_as_text!($name);

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::schema::{ObjectBuilder, Type};

                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some([$( $text, )+]))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self {
                value.as_str()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::validation::UnknownVariant;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}

pub(crate) use text_enum;
