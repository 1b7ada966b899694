//! The names a merchant has in the QRIS network: NMID, merchant PAN, criteria, terminal label, reference.

use crate::checked_text::checked_text;
use crate::text_enum::text_enum;

/// A name in the QRIS network that breaks its own rule of form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// An NMID is `ID` and 13 digits.
    #[error("an NMID is ID followed by 13 digits")]
    Nmid,
    /// A merchant PAN is 18 digits, or 19 of which the last is the Luhn digit.
    #[error(
        "a merchant PAN has 18 digits, or 19 of which the last is the Luhn digit over the others"
    )]
    MerchantPan,
    /// A terminal label is up to 25 printable ASCII characters.
    #[error(
        "a terminal label has 1 to 25 printable ASCII characters and neither starts nor ends with a space"
    )]
    TerminalLabel,
    /// A reference label is up to 25 printable ASCII characters.
    #[error(
        "a reference has 1 to 25 printable ASCII characters and neither starts nor ends with a space"
    )]
    Reference,
    /// A merchant category code is four digits (ISO 18245).
    #[error("a merchant category code has four digits")]
    Mcc,
}

checked_text! {
    /// National merchant id: `ID` and 13 digits, unique in Indonesia.
    Nmid, IdentityError = IdentityError::Nmid, |text| {
        let digits = text.strip_prefix("ID")?;
        (digits.len() == 13 && all_digits(digits)).then_some(text)
    }
}

checked_text! {
    /// Merchant PAN: 18 digits (`9360`, the institution, the merchant). Partners' messages may carry a 19th,
    /// the Luhn digit over the 18; it is checked and left out, so that two spellings of one PAN are equal.
    MerchantPan, IdentityError = IdentityError::MerchantPan, |text| {
        let pan = text.get(..18)?;
        let fits = all_digits(text) && match &text[18..] {
            "" => true,
            check => check.len() == 1 && check.as_bytes()[0] == b'0' + luhn_digit(pan),
        };
        fits.then_some(pan)
    }
}

checked_text! {
    /// Additional data 62.07: which terminal of the merchant. Together with the NMID it names a terminal.
    TerminalLabel, IdentityError = IdentityError::TerminalLabel, |text| label(text)
}

checked_text! {
    /// Additional data 62.05: what the acquirer calls this payment.
    Reference, IdentityError = IdentityError::Reference, |text| label(text)
}

checked_text! {
    /// Merchant category code of ISO 18245: what kind of business this is.
    Mcc, IdentityError = IdentityError::Mcc, |text| (text.len() == 4 && all_digits(text)).then_some(text)
}

impl MerchantPan {
    /// The PAN with its Luhn digit, 19 digits, as partners' messages carry it.
    pub fn with_check_digit(&self) -> String {
        format!("{}{}", self.0, luhn_digit(&self.0))
    }
}

impl Reference {
    /// A reference of exactly 25 characters for a 128-bit id: the whole id in base 36, because the 35
    /// characters of our own spelling do not fit and a shortened id could meet another one.
    pub fn from_u128(id: u128) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut text = [b'0'; 25];
        let mut rest = id;
        for place in text.iter_mut().rev() {
            *place = DIGITS[(rest % 36) as usize];
            rest /= 36;
        }
        Self(text.iter().map(|digit| char::from(*digit)).collect())
    }
}

text_enum! {
    /// Size and kind of a merchant as Bank Indonesia sorts them; fees follow from it.
    pub enum MerchantCriteria as "merchant criteria" {
        /// Micro (usaha mikro).
        Umi = "UMI",
        /// Small (usaha kecil).
        Uke = "UKE",
        /// Medium (usaha menengah).
        Ume = "UME",
        /// Large (usaha besar).
        Ube = "UBE",
        /// Special rate, such as education.
        Ure = "URE",
    }
}

/// The Luhn digit (ISO/IEC 7812-1) that makes `digits` and it a valid number. `digits` must be ASCII digits.
pub fn luhn_digit(digits: &str) -> u8 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match place % 2 {
                0 if digit > 4 => digit * 2 - 9,
                0 => digit * 2,
                _ => digit,
            }
        })
        .sum();
    ((10 - sum % 10) % 10) as u8
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rule of EMVCo's labels: 1 to 25 printable ASCII characters. Spaces at the ends are refused, since
/// two labels must not differ by invisible characters.
fn label(text: &str) -> Option<&str> {
    let printable = text.bytes().all(|byte| (0x20..=0x7E).contains(&byte));
    (printable && (1..=25).contains(&text.len()) && text.trim() == text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nmid_is_id_and_thirteen_digits() {
        assert!("ID1020021181745".parse::<Nmid>().is_ok());
        for wrong in [
            "",
            "ID102002118174",
            "ID10200211817450",
            "XX1020021181745",
            "ID102002118174é",
        ] {
            assert_eq!(wrong.parse::<Nmid>(), Err(IdentityError::Nmid), "{wrong}");
        }
    }

    #[test]
    fn a_nineteenth_digit_must_be_the_luhn_digit_and_is_left_out() {
        // 7992739871 with check digit 3 is the worked example of the Luhn algorithm.
        assert_eq!(luhn_digit("7992739871"), 3);
        let pan: MerchantPan = "936008980255996627".parse().expect("18 digits");
        let long = pan.with_check_digit();
        assert_eq!(long.len(), 19);
        assert_eq!(long.parse::<MerchantPan>(), Ok(pan));
        let wrong = format!(
            "936008980255996627{}",
            (luhn_digit("936008980255996627") + 1) % 10
        );
        assert!(wrong.parse::<MerchantPan>().is_err());
        assert!("93600898025599662".parse::<MerchantPan>().is_err());
        assert!("93600898025599662x".parse::<MerchantPan>().is_err());
        assert!("93600898025599662é".parse::<MerchantPan>().is_err());
    }

    #[test]
    fn labels_are_short_and_visible() {
        assert!("T01".parse::<TerminalLabel>().is_ok());
        for wrong in ["", " T01", "T01 ", "kasir é", "12345678901234567890123456"] {
            assert!(wrong.parse::<TerminalLabel>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_whole_id_fits_a_reference() {
        assert_eq!(
            Reference::from_u128(0).as_str(),
            "0000000000000000000000000"
        );
        assert_eq!(
            Reference::from_u128(35).as_str(),
            "000000000000000000000000Z"
        );
        assert_eq!(
            Reference::from_u128(u128::MAX).as_str(),
            "F5LXX1ZZ5PNORYNQGLHZMSP33"
        );
        assert!(
            Reference::from_u128(u128::MAX)
                .as_str()
                .parse::<Reference>()
                .is_ok()
        );
    }
}
