//! A merchant's standing, how it is paid out, and its short public code.

use crate::checked_text::checked_text;
use crate::text_enum::text_enum;

text_enum! {
    /// Whether a merchant may take payments: only `approved` may.
    pub enum MerchantStatus as "merchant status" {
        /// Created, not looked at yet.
        PendingReview = "pending_review",
        /// Registered with the QR partner; takes payments.
        Approved = "approved",
        /// Turned down. Final.
        Rejected = "rejected",
        /// Stopped by an operator; may come back.
        Suspended = "suspended",
    }
}

/// A step that a merchant's standing does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a merchant that is {current} cannot become {wanted}")]
pub struct InvalidTransition {
    /// The current state.
    pub current: MerchantStatus,
    /// Where it was to go.
    pub wanted: MerchantStatus,
}

impl MerchantStatus {
    /// After review.
    ///
    /// # Errors
    /// Unless it is pending review.
    pub fn approve(self) -> Result<Self, InvalidTransition> {
        self.step(Self::PendingReview, Self::Approved)
    }

    /// After review.
    ///
    /// # Errors
    /// Unless it is pending review.
    pub fn reject(self) -> Result<Self, InvalidTransition> {
        self.step(Self::PendingReview, Self::Rejected)
    }

    /// By an operator.
    ///
    /// # Errors
    /// Unless it is approved.
    pub fn suspend(self) -> Result<Self, InvalidTransition> {
        self.step(Self::Approved, Self::Suspended)
    }

    /// By an operator.
    ///
    /// # Errors
    /// Unless it is suspended.
    pub fn reinstate(self) -> Result<Self, InvalidTransition> {
        self.step(Self::Suspended, Self::Approved)
    }

    /// Whether payments may be started and are announced.
    pub const fn takes_payments(self) -> bool {
        matches!(self, Self::Approved)
    }

    fn step(self, from: Self, wanted: Self) -> Result<Self, InvalidTransition> {
        if self == from {
            Ok(wanted)
        } else {
            Err(InvalidTransition {
                current: self,
                wanted,
            })
        }
    }
}

text_enum! {
    /// How a merchant gets its money.
    #[derive(Default)]
    pub enum PayoutMode as "payout mode" {
        /// Through the payout partner, to the merchant's own account.
        #[default]
        MerchantDirect = "merchant_direct",
        /// By the operations team, outside of this system.
        Manual = "manual",
    }
}

text_enum! {
    /// What the settlement account reference names.
    pub enum SettlementAccountType as "settlement account type" {
        /// An account of the merchant's own at a bank; payouts may go there.
        MerchantBankAccount = "merchant_bank_account",
        /// An electronic wallet of the merchant's own.
        MerchantEWallet = "merchant_ewallet",
        /// A balance that the acquirer keeps for the merchant.
        AcquirerBalance = "acquirer_balance",
    }
}

/// A text that is not a merchant code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a merchant code is m_ and 6 to 10 of 0-9 and a-z")]
pub struct MerchantCodeError;

checked_text! {
    /// A merchant's short name for people: `m_` and 6 to 10 of `[0-9a-z]`. Never an id: ids are longer.
    MerchantCode, MerchantCodeError = MerchantCodeError, |text| {
        let body = text.strip_prefix("m_")?;
        let plain = body.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        (plain && (6..=10).contains(&body.len())).then_some(text)
    }
}

impl MerchantCode {
    /// A code of eight characters (41 bits) from random bytes; the database refuses the rare second use, and the
    /// caller tries again with others.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut rest = u64::from_be_bytes(bytes);
        let mut code = String::from("m_");
        for _ in 0..8 {
            code.push(char::from(ALPHABET[(rest % 36) as usize]));
            rest /= 36;
        }
        Self(code)
    }
}

/// An account as it may stand on paper and screens: its last four digits, the others as `*`. A reference with hardly any
/// digits keeps its last four characters at most.
pub fn masked_account(reference: &str) -> String {
    /// What stays readable.
    const READABLE: usize = 4;
    let digits = reference.chars().filter(char::is_ascii_digit).count();
    let is_number = digits > READABLE;
    let hides = |character: char| {
        if is_number {
            character.is_ascii_digit()
        } else {
            character.is_alphanumeric()
        }
    };
    let hideable = reference.chars().filter(|one| hides(*one)).count();
    // Of a short one at least half is hidden.
    let mut left = hideable - READABLE.min(hideable / 2);
    let masked = reference.chars().map(|character| {
        if left > 0 && hides(character) {
            left -= 1;
            '*'
        } else {
            character
        }
    });
    masked.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MerchantStatus::{Approved, PendingReview, Rejected, Suspended};
    use super::*;

    #[test]
    fn an_account_shows_its_last_four_digits() {
        for (account, masked) in [
            ("bank:9876543210", "bank:******3210"),
            ("bca-014-1234567890", "bca-***-******7890"),
            ("12345", "***45"),
            ("acct_ab12", "****_ab12"),
            ("ab", "*b"),
            ("", ""),
        ] {
            assert_eq!(masked_account(account), masked, "{account}");
        }
    }

    #[test]
    fn every_step_of_a_standing_is_allowed_or_refused() {
        let reached = |step: fn(MerchantStatus) -> Result<MerchantStatus, InvalidTransition>| -> Vec<Option<MerchantStatus>> {
            MerchantStatus::ALL.iter().map(|status| step(*status).ok()).collect()
        };
        assert_eq!(
            MerchantStatus::ALL,
            [PendingReview, Approved, Rejected, Suspended]
        );
        assert_eq!(
            reached(MerchantStatus::approve),
            [Some(Approved), None, None, None]
        );
        assert_eq!(
            reached(MerchantStatus::reject),
            [Some(Rejected), None, None, None]
        );
        assert_eq!(
            reached(MerchantStatus::suspend),
            [None, Some(Suspended), None, None]
        );
        assert_eq!(
            reached(MerchantStatus::reinstate),
            [None, None, None, Some(Approved)]
        );
        let paying: Vec<_> = MerchantStatus::ALL
            .iter()
            .filter(|status| status.takes_payments())
            .collect();
        assert_eq!(paying, [&Approved]);
    }

    #[test]
    fn words_are_those_of_the_contract() {
        assert_eq!(PayoutMode::default().as_str(), "merchant_direct");
        assert_eq!("manual".parse(), Ok(PayoutMode::Manual));
        assert_eq!(
            serde_json::to_string(&SettlementAccountType::MerchantBankAccount).unwrap(),
            "\"merchant_bank_account\""
        );
        assert!(serde_json::from_str::<PayoutMode>("\"cash\"").is_err());
    }

    proptest! {
        #[test]
        fn a_made_code_is_a_code(bytes: [u8; 8]) {
            let code = MerchantCode::from_random(bytes);
            prop_assert_eq!(code.as_str().parse(), Ok(code.clone()));
        }
    }

    #[test]
    fn codes_are_short_and_plain() {
        for good in ["m_123abc", "m_0123456789"] {
            assert!(good.parse::<MerchantCode>().is_ok(), "{good}");
        }
        for wrong in [
            "m_12345",
            "m_01234567890",
            "m_123ABC",
            "x_123abc",
            "123abc",
            "m_123ab!",
        ] {
            assert!(wrong.parse::<MerchantCode>().is_err(), "{wrong}");
        }
    }
}
