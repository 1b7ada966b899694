//! What a partner's `latestTransactionStatus` means.
//!
//! The standard has two-digit codes, and partners add to them and bend them, so each partner has a table of its own.
//! A code that is not in it means nothing: the message is held and the partner is asked.

use std::collections::BTreeMap;

use crate::callback::CallbackStatus;
use crate::text_enum::text_enum;

text_enum! {
    /// The meaning of a status code.
    pub enum Meaning as "meaning of a SNAP status" {
        /// The customer paid.
        Success = "success",
        /// The payment was refused, or was cancelled before it was made.
        Failed = "failed",
        /// The code ran out.
        Expired = "expired",
        /// A payment was taken back.
        Reversed = "reversed",
        /// Nothing is decided yet.
        Pending = "pending",
    }
}

impl Meaning {
    /// What happened, or nothing yet.
    pub const fn happened(self) -> Option<CallbackStatus> {
        match self {
            Self::Success => Some(CallbackStatus::Success),
            Self::Failed => Some(CallbackStatus::Failed),
            Self::Expired => Some(CallbackStatus::Expired),
            Self::Reversed => Some(CallbackStatus::Reversed),
            Self::Pending => None,
        }
    }
}

/// A partner's codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCodes(BTreeMap<String, Meaning>);

impl Default for StatusCodes {
    /// The standard's: 00 success, 01 initiated, 02 paying, 03 pending, 04 refunded, 05 cancelled, 06 failed.
    /// 07 (not found) is left out on purpose: of a payment that we asked for, it is a contradiction.
    fn default() -> Self {
        let codes = [
            ("00", Meaning::Success),
            ("01", Meaning::Pending),
            ("02", Meaning::Pending),
            ("03", Meaning::Pending),
            ("04", Meaning::Reversed),
            ("05", Meaning::Failed),
            ("06", Meaning::Failed),
        ];
        Self(
            codes
                .into_iter()
                .map(|(code, meaning)| (code.to_owned(), meaning))
                .collect(),
        )
    }
}

impl StatusCodes {
    /// The standard's codes with a partner's own on top.
    #[must_use]
    pub fn with(mut self, own: impl IntoIterator<Item = (String, Meaning)>) -> Self {
        self.0.extend(own);
        self
    }

    /// The meaning of a code, if it is configured for this partner.
    pub fn meaning(&self, code: &str) -> Option<Meaning> {
        self.0.get(code).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_may_bend_the_standard() {
        let codes = StatusCodes::default().with([
            ("08".to_owned(), Meaning::Expired),
            ("03".to_owned(), Meaning::Failed),
        ]);
        assert_eq!(codes.meaning("00"), Some(Meaning::Success));
        assert_eq!(codes.meaning("03"), Some(Meaning::Failed));
        assert_eq!(codes.meaning("08"), Some(Meaning::Expired));
        for unknown in ["07", "", "0", "000", "99"] {
            assert_eq!(codes.meaning(unknown), None, "{unknown}");
        }
    }
}
