//! Tips: EMVCo's tip or convenience indicator (tag 55), with the fixed amount (56) or the percentage (57) it needs.
//!
//! | 55 | what the customer's app does | what is due |
//! |---|---|---|
//! | absent | nothing | tag 54 |
//! | `01` | asks the customer for a tip | tag 54 or more |
//! | `02` | adds the amount of tag 56 | tag 54 + tag 56 |
//! | `03` | adds the percentage of tag 57 | tag 54 + its percentage, half a rupiah rounded up |
//!
//! Where 56 or 57 stand without the 55 that uses them, apps differ in what they add, so such a code is refused.

use rust_decimal::{Decimal, RoundingStrategy};
use wire::rupiah::Rupiah;

use super::{DataObject, ParseError, Tag, find, not_allowed};
use crate::text_enum::text_enum;

const INDICATOR: Tag = Tag::of(55);
const FIXED: Tag = Tag::of(56);
const PERCENTAGE: Tag = Tag::of(57);

/// Longest percentage, in characters: `99.99`.
const PERCENTAGE_LEN_MAX: usize = 5;

text_enum! {
    /// How a code asks for a tip.
    pub enum TipMode as "tip mode" {
        /// The customer chooses it.
        Free = "free",
        /// The code contains the amount of the tip.
        Fixed = "fixed",
        /// The code contains the percentage.
        Percentage = "percentage",
    }
}

/// What a code asks for besides its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tip {
    /// Any amount, entered by the customer.
    Free,
    /// So many rupiah.
    Fixed(Rupiah),
    /// So many percent of the amount, more than 0 and less than 100.
    Percentage(Decimal),
}

impl Tip {
    /// Which of the three it is.
    pub const fn mode(self) -> TipMode {
        match self {
            Self::Free => TipMode::Free,
            Self::Fixed(_) => TipMode::Fixed,
            Self::Percentage(_) => TipMode::Percentage,
        }
    }

    /// What is to be paid at least when `amount` is asked for; with a fixed tip or a percentage, exactly this. `None`
    /// beyond 64 bits.
    pub fn due(self, amount: Rupiah) -> Option<Rupiah> {
        let tip = match self {
            Self::Free => Rupiah::ZERO,
            Self::Fixed(tip) => tip,
            Self::Percentage(percent) => {
                let exact = amount
                    .as_decimal()
                    .checked_mul(percent)?
                    .checked_div(Decimal::ONE_HUNDRED)?;
                let whole = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
                Rupiah::from_decimal(whole).ok()?
            }
        };
        amount.checked_add(tip)
    }

    /// Reads tags 55 to 57 of a code.
    pub(super) fn of(objects: &[DataObject]) -> Result<Option<Self>, ParseError> {
        let (fixed, percentage) = (find(objects, FIXED), find(objects, PERCENTAGE));
        let tip = match find(objects, INDICATOR) {
            None => None,
            Some("01") => Some(Self::Free),
            Some("02") => {
                let text = fixed.ok_or(ParseError::Missing { tag: FIXED })?;
                Some(Self::Fixed(fixed_tip(text)?))
            }
            Some("03") => {
                let text = percentage.ok_or(ParseError::Missing { tag: PERCENTAGE })?;
                Some(Self::Percentage(percentage_tip(text)?))
            }
            Some(_) => return Err(not_allowed(INDICATOR, "it is 01, 02 or 03")),
        };
        let mode = tip.map(Self::mode);
        if fixed.is_some() && mode != Some(TipMode::Fixed) {
            return Err(not_allowed(FIXED, "it stands with 02 in tag 55 only"));
        }
        if percentage.is_some() && mode != Some(TipMode::Percentage) {
            return Err(not_allowed(PERCENTAGE, "it stands with 03 in tag 55 only"));
        }
        Ok(tip)
    }
}

fn fixed_tip(text: &str) -> Result<Rupiah, ParseError> {
    let refused = not_allowed(FIXED, "it is whole rupiah, more than zero");
    match super::parse_amount(FIXED, text).map(Rupiah::from_decimal) {
        Ok(Ok(tip)) => Ok(tip),
        _ => Err(refused),
    }
}

fn percentage_tip(text: &str) -> Result<Decimal, ParseError> {
    let refused = not_allowed(
        PERCENTAGE,
        "it is more than 0 and less than 100, with at most two decimals",
    );
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if text.len() > PERCENTAGE_LEN_MAX || !digits(whole) || !digits(fraction) {
        return Err(refused);
    }
    match text.parse::<Decimal>() {
        Ok(percent) if percent > Decimal::ZERO => Ok(percent.normalize()),
        _ => Err(refused),
    }
}

/// What may be paid for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountDue {
    /// At least this …
    pub least: Rupiah,
    /// … and at most this.
    pub most: Rupiah,
}

impl AmountDue {
    /// One amount and no other.
    pub const fn exactly(amount: Rupiah) -> Self {
        Self {
            least: amount,
            most: amount,
        }
    }

    /// Whether this is what was to be paid.
    pub fn accepts(self, paid: Rupiah) -> bool {
        self.least <= paid && paid <= self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn objects(tags: &[(u8, &str)]) -> Vec<DataObject> {
        tags.iter()
            .map(|(tag, value)| DataObject {
                tag: Tag::of(*tag),
                value: (*value).to_owned(),
            })
            .collect()
    }

    fn read(tags: &[(u8, &str)]) -> Result<Option<Tip>, ParseError> {
        Tip::of(&objects(tags))
    }

    fn due(tags: &[(u8, &str)], amount: i64) -> Option<i64> {
        let tip = read(tags).unwrap().unwrap();
        tip.due(Rupiah::from_i64(amount)).map(Rupiah::to_i64)
    }

    #[test]
    fn every_kind_of_tip_says_what_is_due() {
        assert_eq!(read(&[(54, "21004")]), Ok(None));
        assert_eq!(due(&[(55, "01")], 21_004), Some(21_004));
        for fixed in ["500", "500.0", "500.00"] {
            assert_eq!(due(&[(55, "02"), (56, fixed)], 21_004), Some(21_504));
        }
        for (percent, amount, expected) in [
            ("5", 21_004, 22_054),
            ("05", 21_004, 22_054),
            ("2.5", 21_004, 21_529),
            ("0.5", 100, 101),
            ("0.49", 100, 100),
            ("99.99", 1, 2),
            ("10", 21_005, 23_106),
        ] {
            assert_eq!(due(&[(55, "03"), (57, percent)], amount), Some(expected));
        }
        assert_eq!(due(&[(55, "02"), (56, "500")], i64::MAX), None);
    }

    #[test]
    fn what_apps_would_read_differently_is_refused() {
        for (tags, wrong) in [
            (&[(55, "00")][..], 55),
            (&[(55, "4")], 55),
            (&[(55, "02")], 56),
            (&[(55, "03")], 57),
            (&[(55, "02"), (57, "5")], 56),
            (&[(55, "02"), (56, "0")], 56),
            (&[(55, "02"), (56, "0.5")], 56),
            (&[(55, "02"), (56, "-5")], 56),
            (&[(55, "02"), (56, "500"), (57, "5")], 57),
            (&[(55, "03"), (57, "0")], 57),
            (&[(55, "03"), (57, "00.00")], 57),
            (&[(55, "03"), (57, "100")], 57),
            (&[(55, "03"), (57, "1.255")], 57),
            (&[(55, "03"), (57, "5%")], 57),
            (&[(55, "03"), (57, ".5")], 57),
            (&[(55, "03"), (57, "5.")], 57),
            (&[(56, "500")], 56),
            (&[(57, "5")], 57),
            (&[(55, "01"), (56, "500")], 56),
        ] {
            match read(tags) {
                Err(ParseError::Value { tag, .. } | ParseError::Missing { tag }) => {
                    assert_eq!(tag.number(), wrong, "{tags:?}");
                }
                other => panic!("{tags:?}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_percentage_is_rounded_by_at_most_half_a_rupiah(amount in 1i64..=10_000_000, hundredths in 1i64..=9_999) {
            let tip = Tip::Percentage(Decimal::new(hundredths, 2));
            let due = tip.due(Rupiah::from_i64(amount)).unwrap().to_i64();
            // In ten-thousandths of a rupiah, so that nothing is rounded here.
            let (exact, given) = (amount * hundredths, (due - amount) * 10_000);
            prop_assert!(given - exact <= 5_000 && exact - given < 5_000);
        }
    }
}
