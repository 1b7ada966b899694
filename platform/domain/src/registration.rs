//! What a merchant is in the QRIS network, and how the `local` partner issues it.
//!
//! Real NMIDs and PANs come from the national repository. The `local` partner, for development and for
//! demonstrations, makes its own from a sequence number: same number, same identity. They are well formed but
//! lie outside of what is given out (NMIDs begin `ID99`, the institution in the PAN is 999), so that a
//! demonstration can never be mistaken for another merchant's.

use crate::checked_text::checked_text;
use crate::qris::{Mcc, MerchantCriteria, MerchantPan, Nmid};

/// Everything about a merchant that goes into a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Reverse domain of the acquirer, tag 26.00.
    pub acquirer_guid: AcquirerGuid,
    /// Merchant PAN, tag 26.01.
    pub pan: MerchantPan,
    /// The acquirer's number of the merchant, tag 26.02.
    pub merchant_id: AcquirerMerchantId,
    /// Size and kind, tags 26.03 and 51.03.
    pub criteria: MerchantCriteria,
    /// National merchant id, tag 51.02.
    pub nmid: Nmid,
    /// Kind of business, tag 52.
    pub mcc: Mcc,
    /// Brand name as people write it; the code gets what fits, tag 59.
    pub name: String,
    /// City as people write it; the code gets what fits, tag 60.
    pub city: String,
    /// Postal code, tag 61.
    pub postal_code: Option<String>,
}

/// A name in an account template that breaks its rule of form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {len_max} letters, digits, points or hyphens")]
pub struct AccountNameError {
    /// The longest that the standard allows, in characters.
    pub len_max: usize,
}

checked_text! {
    /// Reverse domain of an acquirer (`ID.CO.EXAMPLE.WWW`), at most 32 characters.
    AcquirerGuid, AccountNameError = AccountNameError { len_max: 32 }, |text| account_name(text, 32)
}

checked_text! {
    /// An acquirer's own number of a merchant, at most 15 characters.
    AcquirerMerchantId, AccountNameError = AccountNameError { len_max: 15 }, |text| account_name(text, 15)
}

fn account_name(text: &str, len_max: usize) -> Option<&str> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (plain && (1..=len_max).contains(&text.len())).then_some(text)
}

/// Acquirer of what the `local` partner issues.
pub const LOCAL_ACQUIRER_GUID: &str = "ID.CO.SOUNDBOX.WWW";
/// Merchant category of a merchant that named none: eating places and restaurants.
pub const MCC_DEFAULT: &str = "5812";
/// One more than the highest number that fits the ten digits a PAN leaves for the merchant.
pub const SEQUENCE_END: u64 = 10_000_000_000;

/// The identity that the `local` partner gives to one merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIdentity {
    /// `ID99` and eleven digits.
    pub nmid: Nmid,
    /// `93600999` and ten digits.
    pub pan: MerchantPan,
    /// Fifteen digits.
    pub merchant_id: AcquirerMerchantId,
}

/// The sequence of the `local` partner has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the local partner numbers merchants below {SEQUENCE_END}")]
pub struct SequenceExhausted;

/// The identity of the merchant with this sequence number; other numbers give other identities.
///
/// # Errors
/// [`SequenceExhausted`] from [`SEQUENCE_END`] on.
pub fn issue(sequence: u64) -> Result<LocalIdentity, SequenceExhausted> {
    if sequence >= SEQUENCE_END {
        return Err(SequenceExhausted);
    }
    let formed = "ten digits were checked above and the rest is written out";
    Ok(LocalIdentity {
        nmid: format!("ID99{sequence:011}").parse().expect(formed),
        pan: format!("93600999{sequence:010}").parse().expect(formed),
        merchant_id: format!("{sequence:015}").parse().expect(formed),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_merchant_is_well_formed() {
        let identity = issue(17).unwrap();
        assert_eq!(identity.nmid.as_str(), "ID9900000000017");
        assert_eq!(identity.pan.as_str(), "936009990000000017");
        assert_eq!(identity.merchant_id.as_str(), "000000000000017");
        assert_eq!(issue(17), Ok(identity));
    }

    #[test]
    fn the_sequence_ends_instead_of_wrapping() {
        assert!(issue(SEQUENCE_END - 1).is_ok());
        assert_eq!(issue(SEQUENCE_END), Err(SequenceExhausted));
    }

    #[test]
    fn account_names_are_bounded() {
        assert!(LOCAL_ACQUIRER_GUID.parse::<AcquirerGuid>().is_ok());
        assert!("".parse::<AcquirerGuid>().is_err());
        assert!("ID CO".parse::<AcquirerGuid>().is_err());
        assert!("1234567890123456".parse::<AcquirerMerchantId>().is_err());
        assert!(MCC_DEFAULT.parse::<Mcc>().is_ok());
    }

    proptest! {
        #[test]
        fn two_numbers_never_share_a_name(a in 0..SEQUENCE_END, b in 0..SEQUENCE_END) {
            prop_assume!(a != b);
            let (a, b) = (issue(a).unwrap(), issue(b).unwrap());
            prop_assert_ne!(&a.nmid, &b.nmid);
            prop_assert_ne!(&a.merchant_id, &b.merchant_id);
            prop_assert_eq!(a.pan.with_check_digit().parse::<MerchantPan>(), Ok(a.pan.clone()));
            prop_assert_ne!(a.pan, b.pan);
        }
    }
}
