//! Rupiah as Indonesians write them: `Rp1.250.000`.

use wire::Rupiah;

/// Writes an amount with points between thousands.
pub(super) fn format(amount: Rupiah) -> String {
    let digits = amount.to_i64().unsigned_abs().to_string();
    let mut text = String::from(if amount.is_negative() { "-Rp" } else { "Rp" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_points() {
        for (amount, text) in [
            (0, "Rp0"),
            (999, "Rp999"),
            (1_500, "Rp1.500"),
            (50_000, "Rp50.000"),
            (101_000, "Rp101.000"),
            (1_250_000, "Rp1.250.000"),
            (10_000_000, "Rp10.000.000"),
            (-5_000, "-Rp5.000"),
        ] {
            assert_eq!(format(Rupiah::from_i64(amount)), text);
        }
    }
}
