//! How values of the contract are stored in Postgres: words as `text`, rupiah as `bigint`, ids as `uuid`.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::rupiah::Rupiah;

#[doc(hidden)]
pub use sqlx;

/// Stores a type as `text`: written with `as_str`, read with `FromStr`. A text that does not parse is an error of
/// decoding its column.
#[macro_export]
macro_rules! stored_as_text {
    ($name:ty) => {
        const _: () = {
            use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
            use $crate::stored::sqlx;

            impl sqlx::Type<sqlx::Postgres> for $name {
                fn type_info() -> PgTypeInfo {
                    <str as sqlx::Type<sqlx::Postgres>>::type_info()
                }

                fn compatible(info: &PgTypeInfo) -> bool {
                    <str as sqlx::Type<sqlx::Postgres>>::compatible(info)
                }
            }

            impl PgHasArrayType for $name {
                fn array_type_info() -> PgTypeInfo {
                    <String as PgHasArrayType>::array_type_info()
                }
            }

            impl sqlx::Encode<'_, sqlx::Postgres> for $name {
                fn encode_by_ref(
                    &self,
                    buffer: &mut PgArgumentBuffer,
                ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                    <&str as sqlx::Encode<'_, sqlx::Postgres>>::encode(self.as_str(), buffer)
                }
            }

            impl<'r> sqlx::Decode<'r, sqlx::Postgres> for $name {
                fn decode(value: PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                    let text = <&str as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?;
                    Ok(text.parse::<Self>()?)
                }
            }
        };
    };
}

impl Type<Postgres> for Rupiah {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Rupiah {
    fn array_type_info() -> PgTypeInfo {
        <i64 as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Rupiah {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Postgres>>::encode(self.to_i64(), buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Rupiah {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <i64 as Decode<'r, Postgres>>::decode(value).map(Self::from_i64)
    }
}
