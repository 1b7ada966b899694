//! Money: whole rupiah, exact.
//!
//! QRIS payments have no minor units, so an amount is an integer. It is stored as a decimal, because it is multiplied
//! with rates (basis points) elsewhere and must not pass through binary floats.
//!
//! Amounts arrive as JSON, MessagePack and text, from boxes, partners and people. One rule holds for all:
//!
//! | written as | is accepted when | examples |
//! |---|---|---|
//! | a number | its fraction is zero | `50000`, `50000.0`, `5e4` |
//! | text | it has digits, then nothing, or a point and one or two zeros | `"50000"`, `"50000.0"`, `"50000.00"` |
//!
//! Text with three digits after the point is refused, also when they are zeros: in Indonesia `"50.000"` is fifty
//! thousand, elsewhere it is fifty. Signs, spaces, exponents and separators are refused in text. Leading zeros are
//! digits, so `"050"` is 50. A leading minus is accepted, because the ledger has negative amounts; payments are checked
//! with [`Rupiah::payable`].

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// An amount of whole rupiah. Negative amounts exist in the ledger; payments are checked with [`Rupiah::payable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rupiah(Decimal);

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Rupiah {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("Whole rupiah"))
            .examples([50_000])
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Rupiah {}

/// Why a value is not an amount of whole rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// A fraction of a rupiah.
    #[error("not a whole number of rupiah")]
    Fraction,
    /// Text with more than two digits after the point, which may be thousands.
    #[error("text has digits, then nothing or a point and one or two zeros, as in 50000.00")]
    Decimals,
    /// Outside 64 bits.
    #[error("out of range")]
    OutOfRange,
    /// Outside 1 … `max`.
    #[error("a payment is between 1 and {max} rupiah")]
    NotPayable {
        /// The largest accepted payment.
        max: Rupiah,
    },
}

/// The longest text that can be an amount: a sign, 19 digits, a point, zeros before and after it.
const TEXT_LEN_MAX: usize = 40;

/// The most digits after the point of an amount in text.
const TEXT_DECIMALS_MAX: usize = 2;

/// The most zeros that an exponent may add: an amount of 64 bits has at most 19 digits.
const EXPONENT_ZEROS_MAX: usize = 19;

/// Below this magnitude every integer is exact as an f64 (2^53).
const F64_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Rupiah {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// An amount of whole rupiah.
    pub fn from_i64(rupiah: i64) -> Self {
        Self(Decimal::from(rupiah))
    }

    /// The amount as an integer, as in Postgres (`bigint`) and JSON.
    pub fn to_i64(self) -> i64 {
        // Every constructor and operation keeps the value within i64, so the fallback is never taken.
        self.0.to_i64().unwrap_or(0)
    }

    /// An amount from a decimal without a fraction (`50000.00` is one).
    ///
    /// # Errors
    /// A fraction, or a value outside 64 bits.
    pub fn from_decimal(value: Decimal) -> Result<Self, AmountError> {
        if !value.fract().is_zero() {
            return Err(AmountError::Fraction);
        }
        value
            .to_i64()
            .map(Self::from_i64)
            .ok_or(AmountError::OutOfRange)
    }

    /// An amount from the text of a JSON value, a number or a string, so that it never passes through a binary float:
    /// `50000.000000000000000001` is a fraction.
    ///
    /// # Errors
    /// A value that the module's rule does not accept.
    pub fn from_json(value: &str) -> Result<Self, AmountError> {
        if value.starts_with('"') {
            let text: String = serde_json::from_str(value).map_err(|_| AmountError::NotANumber)?;
            text.parse()
        } else {
            Self::from_number(value)
        }
    }

    /// An amount from a number as JSON writes it, exponent included.
    fn from_number(text: &str) -> Result<Self, AmountError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(AmountError::OutOfRange);
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (
                mantissa,
                exponent
                    .parse::<i32>()
                    .map_err(|_| AmountError::NotANumber)?,
            ),
            None => (text, 0),
        };
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if !is_digits(whole) || (digits.contains('.') && !is_digits(fraction)) {
            return Err(AmountError::NotANumber);
        }
        let all = format!("{whole}{fraction}");
        // The number of digits after the point, once it has been moved by the exponent.
        let point = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent);
        let shift = usize::try_from(point.unsigned_abs()).unwrap_or(usize::MAX);
        let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
        let whole = if is_zero(&all) {
            "0".to_owned()
        } else if point > 0 {
            let kept = all.len().saturating_sub(shift);
            let (whole, fraction) = all.split_at(kept);
            if kept == 0 || !is_zero(fraction) {
                return Err(AmountError::Fraction);
            }
            whole.to_owned()
        } else if shift <= EXPONENT_ZEROS_MAX {
            all + &"0".repeat(shift)
        } else {
            return Err(AmountError::OutOfRange);
        };
        format!("{sign}{whole}")
            .parse()
            .map(Self::from_i64)
            .map_err(|_| AmountError::OutOfRange)
    }

    /// The amount as a decimal, for exact arithmetic with rates.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// The sum, or `None` outside 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.to_i64()
            .checked_add(other.to_i64())
            .map(Self::from_i64)
    }

    /// The difference, or `None` outside 64 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.to_i64()
            .checked_sub(other.to_i64())
            .map(Self::from_i64)
    }

    /// Whether this is below zero.
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// This amount, if it can be a payment: 1 … `max`.
    ///
    /// # Errors
    /// [`AmountError::NotPayable`] outside that range.
    pub fn payable(self, max: Self) -> Result<Self, AmountError> {
        if self > Self::ZERO && self <= max {
            Ok(self)
        } else {
            Err(AmountError::NotPayable { max })
        }
    }
}

impl fmt::Display for Rupiah {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_i64(), f)
    }
}

impl fmt::Debug for Rupiah {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rp{}", self.to_i64())
    }
}

impl From<i64> for Rupiah {
    fn from(rupiah: i64) -> Self {
        Self::from_i64(rupiah)
    }
}

impl FromStr for Rupiah {
    type Err = AmountError;

    /// Reads text by the module's rule: digits, then nothing, or a point and one or two zeros.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(AmountError::NotANumber);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        if !is_digits(digits) || fraction.is_some_and(|f| !is_digits(f)) {
            return Err(AmountError::NotANumber);
        }
        if fraction.is_some_and(|f| f.len() > TEXT_DECIMALS_MAX) {
            return Err(AmountError::Decimals);
        }
        if fraction.is_some_and(|f| f.bytes().any(|b| b != b'0')) {
            return Err(AmountError::Fraction);
        }
        whole
            .parse()
            .map(Self::from_i64)
            .map_err(|_| AmountError::OutOfRange)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Serialize for Rupiah {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.to_i64())
    }
}

impl<'de> Deserialize<'de> for Rupiah {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RupiahVisitor;

        impl Visitor<'_> for RupiahVisitor {
            type Value = Rupiah;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of rupiah")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Rupiah, E> {
                Ok(Rupiah::from_i64(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Rupiah, E> {
                i64::try_from(value)
                    .map(Rupiah::from_i64)
                    .map_err(|_| E::custom(AmountError::OutOfRange))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Rupiah, E> {
                // The JSON parser has already converted `50000.0` to a binary float. Below 2^53 an integral one is
                // exact, and Rust prints it as exactly that integer, which is then read like any other text.
                if !value.is_finite() || value.abs() >= F64_EXACT_MAX {
                    return Err(E::custom(AmountError::OutOfRange));
                }
                Rupiah::from_number(&format!("{value}")).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rupiah, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(RupiahVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Result<Rupiah, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_integer_and_its_equivalents_are_accepted() {
        for text in [
            "50000",
            "\"50000\"",
            "\"50000.00\"",
            "50000.0",
            "50000.00",
            "5e4",
            "5E+4",
            "500000e-1",
            "50000.000",
            "\"50000.0\"",
            "\"00050000\"",
        ] {
            assert_eq!(json(text).unwrap(), Rupiah::from_i64(50_000), "{text}");
            assert_eq!(
                Rupiah::from_json(text),
                Ok(Rupiah::from_i64(50_000)),
                "{text}"
            );
        }
        for text in ["0", "0.0", "0e9", "-0", "0e-9"] {
            assert_eq!(Rupiah::from_json(text), Ok(Rupiah::ZERO), "{text}");
        }
        assert_eq!(json("-1").unwrap(), Rupiah::from_i64(-1));
        assert_eq!(json("9223372036854775807").unwrap().to_i64(), i64::MAX);
        assert_eq!(json("\"-9223372036854775808\"").unwrap().to_i64(), i64::MIN);
    }

    #[test]
    fn anything_else_is_refused() {
        let others = [
            "0.5",
            "50000.01",
            "\"50000.01\"",
            "\"\"",
            "\" 50000\"",
            "\"50000 \"",
            "\"50.000,00\"",
            "\"50.000\"",
            "\"50000.000\"",
            "\"1.234\"",
            "\"\u{a0}50000\"",
            "\"-50.000\"",
            "\"50,000\"",
            "\"+5\"",
            "\"5e4\"",
            "\"0x10\"",
            "\"NaN\"",
            "\"inf\"",
            "\"1.\"",
            "\".0\"",
            "\"-\"",
            "\"--1\"",
            "\"٣\"",
            "true",
            "null",
            "[]",
            "{}",
            "1e300",
            "9007199254740993.0",
            "9223372036854775808",
            "-9223372036854775809",
            "\"9223372036854775808\"",
            "\"99999999999999999999999999999999999999999\"",
            "\"5.-0\"",
            "1e-320",
        ];
        for text in others {
            assert!(json(text).is_err(), "{text} was accepted");
            // A value that a binary float rounds to a whole number is exact as text.
            let exact = text == "9007199254740993.0";
            assert_eq!(Rupiah::from_json(text).is_ok(), exact, "{text}");
        }
        assert_eq!(
            Rupiah::from_json("50000.000000000000000001"),
            Err(AmountError::Fraction)
        );
        assert_eq!("50.000".parse::<Rupiah>(), Err(AmountError::Decimals));
    }

    #[test]
    fn a_payment_is_between_one_and_the_limit() {
        let max = Rupiah::from_i64(10_000_000);
        for amount in [1, 2, 9_999_999, 10_000_000] {
            assert!(Rupiah::from_i64(amount).payable(max).is_ok());
        }
        for amount in [0, -1, 10_000_001, i64::MIN, i64::MAX] {
            assert_eq!(
                Rupiah::from_i64(amount).payable(max),
                Err(AmountError::NotPayable { max })
            );
        }
    }

    #[test]
    fn a_decimal_must_be_whole_and_fit() {
        assert_eq!(
            Rupiah::from_decimal(Decimal::new(5_000_000, 2)),
            Ok(Rupiah::from_i64(50_000))
        );
        assert_eq!(
            Rupiah::from_decimal(Decimal::new(5_000_001, 2)),
            Err(AmountError::Fraction)
        );
        assert_eq!(
            Rupiah::from_decimal(Decimal::MAX),
            Err(AmountError::OutOfRange)
        );
    }

    proptest! {
        #[test]
        fn json_and_messagepack_return_the_same_amount(value: i64) {
            let amount = Rupiah::from_i64(value);
            prop_assert_eq!(amount.to_i64(), value);
            prop_assert_eq!(serde_json::to_string(&amount).unwrap(), value.to_string());
            prop_assert_eq!(serde_json::from_str::<Rupiah>(&value.to_string()).unwrap(), amount);
            prop_assert_eq!(value.to_string().parse::<Rupiah>().unwrap(), amount);
            let pack = rmp_serde::to_vec_named(&amount).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Rupiah>(&pack).unwrap(), amount);
        }

        #[test]
        fn sums_are_exact_or_refused(a: i64, b: i64) {
            let (x, y) = (Rupiah::from_i64(a), Rupiah::from_i64(b));
            prop_assert_eq!(x.checked_add(y).map(Rupiah::to_i64), a.checked_add(b));
            prop_assert_eq!(x.checked_sub(y).map(Rupiah::to_i64), a.checked_sub(b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }

        #[test]
        fn thousands_are_never_taken_for_decimals(whole in 0i64..1_000_000, thousands in 0u32..1_000) {
            let text = format!("{whole}.{thousands:03}");
            prop_assert_eq!(text.parse::<Rupiah>(), Err(AmountError::Decimals));
            let json = format!("\"{text}\"");
            prop_assert!(Rupiah::from_json(&json).is_err());
        }

        #[test]
        fn a_json_number_is_read_as_its_digits_say(value: i64, zeros in 0usize..4) {
            let text = format!("{value}.{}0", "0".repeat(zeros));
            prop_assert_eq!(Rupiah::from_json(&text).map(Rupiah::to_i64), Ok(value));
            prop_assert_eq!(Rupiah::from_json(&value.to_string()).map(Rupiah::to_i64), Ok(value));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-0-9.eE+\" ]{0,48}") {
            let _ = Rupiah::from_json(&text);
            let _ = text.parse::<Rupiah>();
        }

        #[test]
        fn a_fraction_is_never_rounded_away(whole in 0i64..1_000_000_000, cents in 1u8..100) {
            let text = format!("{whole}.{cents:02}");
            prop_assert!(text.parse::<Rupiah>().is_err());
            prop_assert!(serde_json::from_str::<Rupiah>(&text).is_err());
        }
    }
}
