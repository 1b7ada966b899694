//! Maker and checker: what one person proposes and another confirms.

use chrono::{DateTime, TimeDelta, Utc};

use crate::text_enum::text_enum;

text_enum! {
    /// What can be proposed.
    pub enum ApprovalKind as "kind of approval" {
        /// A new fee profile.
        FeeProfileCreate = "fee_profile.create",
        /// New rates of a fee profile.
        FeeProfileVersion = "fee_profile.version",
        /// Where a merchant's money goes, or what its payments cost.
        MerchantPatch = "merchant.patch",
        /// A merchant that was not made by another person may take payments.
        MerchantApprove = "merchant.approve",
        /// A settlement was paid by hand.
        SettlementMarkPaid = "settlement.mark_paid",
        /// Whose unmatched money it is.
        UnmatchedPaymentAssign = "unmatched_payment.assign",
        /// A new user.
        UserCreate = "user.create",
        /// Another role for a user, or a disabled one is enabled.
        UserPatch = "user.patch",
        /// A user gets a new password.
        UserReset = "user.reset",
        /// A program's token that may move money or make people.
        TokenCreate = "token.create",
        /// The first payout to an account.
        PayoutAccount = "payout.account",
        /// A box announces a free text.
        CommandCreate = "command.create",
        /// Many boxes announce a free text.
        BulkCommandCreate = "bulk_command.create",
    }
}

text_enum! {
    /// The state of a proposal.
    pub enum ApprovalStatus as "approval status" {
        /// Not decided.
        Pending = "pending",
        /// Confirmed, and done.
        Approved = "approved",
        /// Turned down, or taken back.
        Rejected = "rejected",
    }
}

/// Why a proposal or a confirmation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    /// A program's token does not name a person.
    #[error(
        "this needs two people who have logged in; a program's token can neither propose nor confirm it"
    )]
    NotAPerson,
    /// The rule.
    #[error("nobody confirms what they have proposed themselves")]
    OwnProposal,
    /// The person who makes or resets a user could act as that user.
    #[error(
        "a user confirms nothing for a time after the account was made, reset, enabled again or given a role (money.confirm_wait_h)"
    )]
    TooNew,
}

/// Whether this name, as the audit log has it, is a person's.
pub fn is_person(name: &str) -> bool {
    name.starts_with("usr_")
}

/// Whether `maker` may propose.
///
/// # Errors
/// [`NotYours::NotAPerson`].
pub fn may_propose(maker: &str) -> Result<(), NotYours> {
    if is_person(maker) {
        Ok(())
    } else {
        Err(NotYours::NotAPerson)
    }
}

/// The person who is about to confirm.
#[derive(Debug, Clone, Copy)]
pub struct Checker<'a> {
    /// As the audit log has it.
    pub name: &'a str,
    /// Since when the account has its role, status and password.
    pub since: DateTime<Utc>,
}

impl Checker<'_> {
    /// Whether this person may confirm what `maker` has proposed, at `now`, where accounts must stand for `wait`.
    ///
    /// # Errors
    /// [`NotYours`].
    pub fn may_confirm(
        self,
        maker: &str,
        now: DateTime<Utc>,
        wait: TimeDelta,
    ) -> Result<(), NotYours> {
        may_propose(self.name)?;
        if maker == self.name {
            Err(NotYours::OwnProposal)
        } else if now.signed_duration_since(self.since) < wait {
            Err(NotYours::TooNew)
        } else {
            Ok(())
        }
    }
}

/// Whether something that these people and programs made was made by people other than `checker`. A program's
/// token does not name a person, so that what a program made may have been made by `checker`.
pub fn is_made_by_others<'a>(makers: impl IntoIterator<Item = &'a str>, checker: &str) -> bool {
    let mut makers = makers.into_iter().peekable();
    makers.peek().is_some() && makers.all(|maker| is_person(maker) && maker != checker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_people_and_no_program() {
        let since = DateTime::UNIX_EPOCH;
        let wait = TimeDelta::hours(24);
        let confirm = |maker: &str, name: &str, after: TimeDelta| {
            Checker { name, since }.may_confirm(maker, since + after, wait)
        };
        assert_eq!(may_propose("usr_1"), Ok(()));
        assert_eq!(may_propose("tok_1"), Err(NotYours::NotAPerson));
        assert_eq!(confirm("usr_1", "usr_2", wait), Ok(()));
        assert_eq!(confirm("usr_1", "usr_1", wait), Err(NotYours::OwnProposal));
        assert_eq!(confirm("usr_1", "tok_1", wait), Err(NotYours::NotAPerson));
        assert_eq!(confirm("usr_1", "system", wait), Err(NotYours::NotAPerson));
        let soon = wait - TimeDelta::microseconds(1);
        assert_eq!(confirm("usr_1", "usr_2", soon), Err(NotYours::TooNew));
        // A clock that went back is no reason to confirm.
        let before = TimeDelta::hours(-48);
        assert_eq!(confirm("usr_1", "usr_2", before), Err(NotYours::TooNew));
    }

    #[test]
    fn what_a_program_or_nobody_made_was_not_made_by_another_person() {
        assert!(is_made_by_others(["usr_1", "usr_3"], "usr_2"));
        assert!(!is_made_by_others(["usr_1", "usr_2"], "usr_2"));
        assert!(!is_made_by_others(["tok_1"], "usr_2"));
        assert!(!is_made_by_others(["usr_1", "system"], "usr_2"));
        assert!(!is_made_by_others([], "usr_2"));
    }
}
