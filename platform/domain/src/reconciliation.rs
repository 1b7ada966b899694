//! What comparing an acquirer's file with ours can find, and how the file's lines are read.

use wire::rupiah::Rupiah;

use crate::callback::TEXT_LEN_MAX;
use crate::text_enum::text_enum;

text_enum! {
    /// What a line of the comparison says.
    pub enum Class as "class of line" {
        /// Both have it, with the same amount.
        Matched = "matched",
        /// We have it, and the file does not.
        OursOnly = "ours_only",
        /// The file has it, and we do not.
        TheirsOnly = "theirs_only",
        /// Both have it, with different amounts.
        AmountDiffers = "amount_differs",
    }
}

/// Which columns of a file are what, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The name of the column with the partner's reference.
    pub reference_column: String,
    /// The name of the column with the amount.
    pub amount_column: String,
    /// What stands between fields, one ASCII character.
    pub delimiter: u8,
    /// Whether amounts are written as in Indonesia: 150.000,00.
    pub decimal_comma: bool,
}

/// The partner's reference in a line.
///
/// # Errors
/// What is wrong with it.
pub fn reference(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_LEN_MAX || text.chars().any(char::is_control) {
        return Err("the reference is empty, too long or has control characters");
    }
    Ok(text.to_owned())
}

/// The amount in a line: whole rupiah, with or without a currency, separators of thousands and one or two zeros of a
/// fraction (three digits after a separator may be thousands of the other way to write).
///
/// # Errors
/// What is wrong with it.
pub fn amount(text: &str, decimal_comma: bool) -> Result<Rupiah, &'static str> {
    const WRONG: &str = "the amount is not whole rupiah";
    let text = text.trim();
    let text = ["IDR", "Rp"]
        .iter()
        .find_map(|currency| text.strip_prefix(currency))
        .unwrap_or(text)
        .trim_start_matches(['.', ' ']);
    let (thousands, fraction) = if decimal_comma {
        ('.', ',')
    } else {
        (',', '.')
    };
    let mut parts = text.splitn(2, fraction);
    let (whole, cents) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or("0"),
    );
    let mut groups = whole.split(thousands);
    let first = groups.next().unwrap_or_default();
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || first.is_empty() || first.len() > 3 {
            return Err(WRONG);
        }
        digits.push_str(group);
    }
    if digits.len() > 18 || digits.starts_with('-') {
        return Err(WRONG);
    }
    // The separators are gone: what is left is an amount as every other door takes it.
    format!("{digits}.{cents}").parse().map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, decimal_comma: bool) -> Option<i64> {
        amount(text, decimal_comma)
            .ok()
            .map(|amount| amount.to_i64())
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for text in [
            "150000",
            "150000.00",
            "150,000",
            "150,000.0",
            " IDR 150000 ",
            "Rp150,000",
        ] {
            assert_eq!(read(text, false), Some(150_000), "{text}");
        }
        for text in [
            "150000",
            "150.000",
            "150.000,00",
            "Rp. 150.000",
            "Rp150.000,0",
        ] {
            assert_eq!(read(text, true), Some(150_000), "{text}");
        }
        for text in [
            "",
            "-1",
            "1.5",
            "150.000",
            "1,50",
            "1,,000",
            ",150",
            "1234,567",
            "1e3",
            "0x1",
            "9999999999999999999",
        ] {
            assert_eq!(read(text, false), None, "{text}");
        }
        assert_eq!(
            read("150,000", true),
            None,
            "a hundred and fifty, and a fraction of thousandths? No"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, decimal_comma: bool) {
            let _ = amount(&text, decimal_comma);
            let _ = reference(&text);
        }

        #[test]
        fn whole_rupiah_read_back(number in 0_i64..1_000_000_000_000_000) {
            prop_assert_eq!(read(&number.to_string(), false), Some(number));
            prop_assert_eq!(read(&format!("{number},00"), true), Some(number));
        }
    }
}
