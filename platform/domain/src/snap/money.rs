//! Amounts as SNAP writes them: `{"value": "10000.00", "currency": "IDR"}`, the value a string with two decimals. Partners
//! that write a number are read too: both go through the one reader of amounts, [`Rupiah`]'s.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::rupiah::{AmountError, Rupiah};

/// An amount on SNAP's wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Digits, a point and two digits.
    #[serde(deserialize_with = "text_or_number")]
    pub value: String,
    /// ISO 4217.
    pub currency: String,
}

/// Why an amount is not one of whole rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most two decimals.
    #[error("expected digits and two decimals, as in 10000.00")]
    Form,
    /// Sen that are not zero: QRIS moves whole rupiah.
    #[error("sen must be zero")]
    Sen,
    /// Zero, or beyond what can be counted.
    #[error("an amount is at least one rupiah")]
    Range,
    /// Another currency.
    #[error("the currency is IDR")]
    Currency,
}

impl Money {
    /// How SNAP writes this amount.
    pub fn of(amount: Rupiah) -> Self {
        Self {
            value: format!("{amount}.00"),
            currency: "IDR".to_owned(),
        }
    }

    /// The amount, exactly.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub fn rupiah(&self) -> Result<Rupiah, MoneyError> {
        if self.currency != "IDR" {
            return Err(MoneyError::Currency);
        }
        if self.value.starts_with('-') {
            return Err(MoneyError::Form);
        }
        match self.value.parse::<Rupiah>() {
            Ok(amount) if amount > Rupiah::ZERO => Ok(amount),
            Ok(_) | Err(AmountError::OutOfRange | AmountError::NotPayable { .. }) => {
                Err(MoneyError::Range)
            }
            Err(AmountError::Fraction) => Err(MoneyError::Sen),
            Err(AmountError::NotANumber | AmountError::Decimals) => Err(MoneyError::Form),
        }
    }
}

/// The value as text, also when it is a number.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(D::Error::custom("expected text or a number")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Result<i64, MoneyError> {
        let money = Money {
            value: value.to_owned(),
            currency: "IDR".to_owned(),
        };
        money.rupiah().map(Rupiah::to_i64)
    }

    #[test]
    fn whole_rupiah_are_read_and_nothing_else() {
        for (value, rupiah) in [("10000.00", 10_000), ("10000", 10_000), ("1.0", 1)] {
            assert_eq!(read(value), Ok(rupiah));
        }
        for value in ["10000.01", "0.50", "10000.5"] {
            assert_eq!(read(value), Err(MoneyError::Sen), "{value}");
        }
        for value in [
            "", ".", ".00", "1.", "1.000", "-1.00", "+1.00", "1e4", " 1.00", "1,000.00", "1.00.00",
        ] {
            assert_eq!(read(value), Err(MoneyError::Form), "{value}");
        }
        for value in ["0.00", "0", "9223372036854775808.00"] {
            assert_eq!(read(value), Err(MoneyError::Range), "{value}");
        }
        for (value, rupiah) in [("10000", 10_000), ("10000.0", 10_000)] {
            let money: Money =
                serde_json::from_str(&format!(r#"{{"value": {value}, "currency": "IDR"}}"#))
                    .unwrap();
            assert_eq!(money.rupiah(), Ok(Rupiah::from_i64(rupiah)), "{value}");
        }
        for value in ["null", "true", "[]", "{}"] {
            let text = format!(r#"{{"value": {value}, "currency": "IDR"}}"#);
            assert!(serde_json::from_str::<Money>(&text).is_err(), "{value}");
        }
        let dollars = Money {
            value: "1.00".to_owned(),
            currency: "USD".to_owned(),
        };
        assert_eq!(dollars.rupiah(), Err(MoneyError::Currency));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(rupiah in 1..=i64::MAX) {
            let amount = Rupiah::from_i64(rupiah);
            prop_assert_eq!(Money::of(amount).rupiah(), Ok(amount));
        }
    }
}
