//! How our order is named to an acquirer. `tx_` and 32 hex digits are 35 characters, and some acquirers take fewer.
//!
//! 32 characters hold the id's digits, and 25 hold them in base 36. Below that the id does not fit: the name is then made of
//! a digest of the id, and only the stored order says whose it is. A repeated request has the same name in every form.
//!
//! Digits and lower-case letters only: not every acquirer tells upper from lower case.

use aws_lc_rs::digest;
use uuid::Uuid;
use wire::ids::{RefundId, TransactionId};

/// A form of an order's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceForm {
    /// `tx_` and 32 hex digits: 35 characters.
    Full,
    /// 32 hex digits.
    Hex,
    /// 25 digits and lower-case letters.
    Base36,
    /// A digest of the id in this many characters, at most 24: read back through the stored order.
    Short(usize),
}

/// How many digits of base 36 hold 128 bits.
const BASE36_LEN: usize = 25;
/// A shorter name is too easily met twice.
pub const SHORT_LEN_MIN: usize = 12;

impl ReferenceForm {
    /// The fullest form of at most `length` characters; none below [`SHORT_LEN_MIN`].
    pub const fn within(length: usize) -> Option<Self> {
        match length {
            35.. => Some(Self::Full),
            32.. => Some(Self::Hex),
            BASE36_LEN.. => Some(Self::Base36),
            SHORT_LEN_MIN.. => Some(Self::Short(length)),
            _ => None,
        }
    }

    /// The name of an order, the same each time.
    pub fn write(self, id: TransactionId) -> String {
        self.name(id.to_string(), id.as_uuid())
    }

    /// The name of a refund, as long as that of an order.
    pub fn write_refund(self, id: RefundId) -> String {
        self.name(id.to_string(), id.as_uuid())
    }

    fn name(self, full: String, id: Uuid) -> String {
        match self {
            Self::Full => full,
            Self::Hex => id.simple().to_string(),
            Self::Base36 => base36(id.as_u128()),
            Self::Short(length) => {
                let hash = digest::digest(&digest::SHA256, full.as_bytes());
                let mut bits = [0; 16];
                bits.copy_from_slice(&hash.as_ref()[..16]);
                // The last digits: the first one of 25 is almost always small.
                base36(u128::from_be_bytes(bits)).split_off(BASE36_LEN - length)
            }
        }
    }

    /// Whether only the stored order says whose name this is.
    pub fn is_stored(self, name: &str) -> bool {
        matches!(self, Self::Short(length) if name.len() == length)
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// The order of a name. The full form is always read, because codes that were issued before a change of the dialect
    /// are still paid.
    pub fn read(self, name: &str) -> Option<TransactionId> {
        if let Ok(id) = name.parse() {
            return Some(id);
        }
        let number = match self {
            Self::Hex if name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u128::from_str_radix(name, 16).ok()?
            }
            Self::Base36
                if name.len() == BASE36_LEN
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                u128::from_str_radix(name, 36).ok()?
            }
            _ => return None,
        };
        let uuid = Uuid::from_u128(number);
        (uuid.get_version_num() == 7).then(|| TransactionId::from_uuid(uuid))
    }
}

fn base36(mut number: u128) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; BASE36_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(number % 36).unwrap_or_default()];
        number /= 36;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_reads_back_and_fits(bits: u128) {
            let id = TransactionId::from_uuid(uuid::Builder::from_u128(bits)
                .with_version(uuid::Version::SortRand).with_variant(uuid::Variant::RFC4122).into_uuid());
            for length in 25..40 {
                let form = ReferenceForm::within(length).unwrap();
                let name = form.write(id);
                prop_assert!(name.len() <= length);
                prop_assert_eq!(form.read(&name), Some(id));
                prop_assert_eq!(form.read(&id.to_string()), Some(id));
                let refund = form.write_refund(RefundId::from_uuid(id.as_uuid()));
                prop_assert_eq!(refund.len(), name.len());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[0-9a-z]{20,36}") {
            for length in 12..40 {
                let _ = ReferenceForm::within(length).unwrap().read(&text);
            }
        }
    }

    #[test]
    fn below_25_characters_a_name_is_a_digest_that_the_stored_order_explains() {
        assert_eq!(ReferenceForm::within(20), Some(ReferenceForm::Short(20)));
        assert_eq!(ReferenceForm::within(11), None);
        let id = |last: u128| {
            TransactionId::from_uuid(Uuid::from_u128(
                0x0189_0a5d_3f2c_7b3e_8f00_1122_3344_0000 + last,
            ))
        };
        let mut names = std::collections::HashSet::new();
        for length in SHORT_LEN_MIN..BASE36_LEN {
            let form = ReferenceForm::within(length).unwrap();
            for last in 0..1_000 {
                let name = form.write(id(last));
                assert_eq!((name.len(), form.read(&name)), (length, None));
                assert!(form.is_stored(&name) && name == form.write(id(last)));
                assert!(names.insert(name), "{length}: {last}");
            }
        }
        let form = ReferenceForm::Short(20);
        for other in ["", "short", "with a space and more", "-------------------9"] {
            assert!(!form.is_stored(other), "{other}");
        }
        assert!(!ReferenceForm::Full.is_stored(&form.write(id(0))));
    }
}
