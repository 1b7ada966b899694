//! The payee of a code: whether every account in it is of one merchant.

use super::{
    ACQUIRER_ACCOUNT, ACQUIRER_ACCOUNT_LAST, MerchantPan, Nmid, QRIS_ACCOUNT, QrisCode, Tag,
    TerminalLabel, merchant_account,
};

/// Account templates beside those of QRIS: EMVCo gives 02 to 25 to card schemes and leaves 46 to 50 to others. Money could
/// go there by a name that is not looked at here.
const OTHER_ACCOUNTS: [std::ops::RangeInclusive<Tag>; 2] =
    [Tag::of(2)..=Tag::of(25), Tag::of(46)..=Tag::of(50)];

/// A merchant as codes name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    /// Its national id.
    pub nmid: Nmid,
    /// Its number at the acquirer.
    pub pan: MerchantPan,
}

/// Why a code may not be shown at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIts {
    /// An account in it is another merchant's, or does not identify its owner.
    #[error("the code pays somebody else than the merchant of this device")]
    Payee,
    /// It names another terminal.
    #[error("the code is of another terminal than the device's")]
    Terminal,
}

impl QrisCode {
    /// Whether every account in the code is `payee`'s, and the terminal, where it names one, is `label`.
    ///
    /// # Errors
    /// [`NotIts`].
    pub fn check_payee(&self, payee: &Payee, label: &str) -> Result<(), NotIts> {
        let tags = || self.objects.iter().map(|object| object.tag);
        if tags().any(|tag| OTHER_ACCOUNTS.iter().any(|range| range.contains(&tag))) {
            return Err(NotIts::Payee);
        }
        for account in &self.objects {
            if (ACQUIRER_ACCOUNT..=ACQUIRER_ACCOUNT_LAST).contains(&account.tag) {
                let account = merchant_account(account).map_err(|_| NotIts::Payee)?;
                if account.pan.as_ref() != Some(&payee.pan) {
                    return Err(NotIts::Payee);
                }
            } else if account.tag == QRIS_ACCOUNT && self.nmid() != Some(&payee.nmid) {
                return Err(NotIts::Payee);
            }
        }
        match self
            .additional_data()
            .terminal_label
            .as_ref()
            .map(TerminalLabel::as_str)
        {
            Some(named) if named != label => Err(NotIts::Terminal),
            _ => Ok(()),
        }
    }
}
