//! Maker and checker: changes of money that one person proposes and another confirms.

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
        /// A settlement was paid by hand.
        SettlementMarkPaid = "settlement.mark_paid",
    }
}

text_enum! {
    /// Where a proposal stands.
    pub enum ApprovalStatus as "approval status" {
        /// Nobody has decided.
        Pending = "pending",
        /// Confirmed, and done.
        Approved = "approved",
        /// Turned down, or taken back.
        Rejected = "rejected",
    }
}

/// Why somebody may not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    /// A program has a token, and nobody knows who has the token.
    #[error(
        "changes of money are proposed and confirmed by people who have logged in, not by a program's token"
    )]
    NotAPerson,
    /// The rule.
    #[error("nobody confirms what they have proposed themselves")]
    OwnProposal,
}

/// Whether this name, as the audit log has it, is a person's.
fn is_person(name: &str) -> bool {
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

/// Whether `checker` may confirm what `maker` has proposed.
///
/// # Errors
/// [`NotYours`].
pub fn may_confirm(maker: &str, checker: &str) -> Result<(), NotYours> {
    may_propose(checker)?;
    if maker == checker {
        Err(NotYours::OwnProposal)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_people_and_no_program() {
        assert_eq!(may_propose("usr_1"), Ok(()));
        assert_eq!(may_propose("tok_1"), Err(NotYours::NotAPerson));
        assert_eq!(may_confirm("usr_1", "usr_2"), Ok(()));
        assert_eq!(may_confirm("usr_1", "usr_1"), Err(NotYours::OwnProposal));
        assert_eq!(may_confirm("usr_1", "tok_1"), Err(NotYours::NotAPerson));
    }
}
