//! Amounts as SNAP writes them: `{"value": "10000.00", "currency": "IDR"}`, the value a string with two decimals.

use serde::{Deserialize, Serialize};
use wire::rupiah::Rupiah;

/// An amount on SNAP's wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Digits, a point and two digits.
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
        let (whole, sen) = self.value.split_once('.').unwrap_or((&self.value, "00"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(sen) || sen.len() > 2 {
            return Err(MoneyError::Form);
        }
        if sen.bytes().any(|byte| byte != b'0') {
            return Err(MoneyError::Sen);
        }
        match whole.parse::<i64>() {
            Ok(rupiah) if rupiah >= 1 => Ok(Rupiah::from_i64(rupiah)),
            _ => Err(MoneyError::Range),
        }
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
