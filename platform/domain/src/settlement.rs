//! Settlements: their states, and the account that one is paid out to.

use crate::merchant::{PayoutMode, SettlementAccountType};
use crate::text_enum::text_enum;

text_enum! {
    /// The state of a settlement.
    pub enum SettlementStatus as "settlement status" {
        /// Made; its payout has not been instructed.
        Pending = "pending",
        /// The payout partner was instructed, or may have been.
        Processing = "processing",
        /// The merchant has the money.
        Paid = "paid",
        /// The payout was refused.
        Failed = "failed",
        /// The merchant's bank sent the money back.
        Returned = "returned",
    }
}

/// A merchant's settings of its accounts.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the merchant's fields of the same names")]
pub struct Accounts<'a> {
    pub payout_mode: PayoutMode,
    pub payout_account_reference: Option<&'a str>,
    pub settlement_account_reference: Option<&'a str>,
    pub settlement_account_type: Option<SettlementAccountType>,
}

/// The merchant is to be paid directly and has no account for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the merchant has no account to pay out to")]
pub struct NotConfigured;

impl<'a> Accounts<'a> {
    /// The account that a payout goes to; none when people pay by hand.
    ///
    /// The payout account comes first. The settlement account will do when it is the merchant's own at a bank:
    /// a balance that an acquirer keeps for the merchant cannot be paid into.
    ///
    /// # Errors
    /// [`NotConfigured`].
    pub fn destination(&self) -> Result<Option<&'a str>, NotConfigured> {
        if self.payout_mode == PayoutMode::Manual {
            return Ok(None);
        }
        let of_bank = self
            .settlement_account_type
            .is_some_and(|kind| kind == SettlementAccountType::MerchantBankAccount);
        self.payout_account_reference
            .or(self.settlement_account_reference.filter(|_| of_bank))
            .map(Some)
            .ok_or(NotConfigured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Accounts<'static> = Accounts {
        payout_mode: PayoutMode::MerchantDirect,
        payout_account_reference: None,
        settlement_account_reference: None,
        settlement_account_type: None,
    };

    #[test]
    fn a_payout_goes_where_the_merchant_said_and_nowhere_else() {
        use SettlementAccountType::{AcquirerBalance, MerchantBankAccount, MerchantEWallet};
        let settlement = |kind| Accounts {
            settlement_account_reference: Some("bank:1"),
            settlement_account_type: kind,
            ..NONE
        };
        assert_eq!(NONE.destination(), Err(NotConfigured));
        assert_eq!(
            settlement(Some(MerchantBankAccount)).destination(),
            Ok(Some("bank:1"))
        );
        for kind in [None, Some(MerchantEWallet), Some(AcquirerBalance)] {
            assert_eq!(settlement(kind).destination(), Err(NotConfigured));
        }
        let both = Accounts {
            payout_account_reference: Some("bank:2"),
            ..settlement(Some(MerchantBankAccount))
        };
        assert_eq!(both.destination(), Ok(Some("bank:2")));
        let manual = Accounts {
            payout_mode: PayoutMode::Manual,
            ..both
        };
        assert_eq!(manual.destination(), Ok(None));
    }
}
