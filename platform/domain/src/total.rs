//! Sums of amounts over many rows.
//!
//! An amount fits into 64 bits, a sum of amounts need not. So that no number of one merchant's makes an answer fail, what
//! is added up is added up in `numeric` by Postgres, read as text, and carried here: exact up to 38 digits, which no
//! number of rows reaches.

use std::num::ParseIntError;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use wire::rupiah::Rupiah;

/// A sum of whole rupiah, exact beyond 64 bits. JSON: an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Total(i128);

impl Total {
    /// Nothing.
    pub const ZERO: Self = Self(0);
}

impl Total {
    /// As an amount; `None` beyond 64 bits.
    pub fn to_rupiah(self) -> Option<Rupiah> {
        i64::try_from(self.0).ok().map(Rupiah::from_i64)
    }
}

impl From<Rupiah> for Total {
    fn from(amount: Rupiah) -> Self {
        Self(amount.to_i64().into())
    }
}

impl FromStr for Total {
    type Err = ParseIntError;

    /// A sum of whole numbers as Postgres writes it.
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl Add for Total {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Total {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Total {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(number) => serializer.serialize_i64(number),
            Err(_) => serializer.serialize_i128(self.0),
        }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Total {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("A sum of whole rupiah; it may be beyond 64 bits"))
            .examples([50_000])
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Total {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_largest_amounts_are_exact() {
        let largest = Total::from(Rupiah::from_i64(i64::MAX));
        let sum: Total = std::iter::repeat_n(largest, 3).sum();
        assert_eq!(serde_json::to_string(&sum).unwrap(), "27670116110564327421");
        assert_eq!(sum - largest - largest - largest, Total::ZERO);
        assert_eq!("27670116110564327421".parse(), Ok(sum));
        assert!("0.5".parse::<Total>().is_err());
        let negative = Total::ZERO - sum;
        assert_eq!(
            serde_json::to_string(&negative).unwrap(),
            "-27670116110564327421"
        );
        assert_eq!(
            serde_json::to_string(&Total::from(Rupiah::from_i64(5))).unwrap(),
            "5"
        );
    }
}
