//! What an acquirer's status codes mean.
//!
//! The standard has two-digit codes, and partners add to them and bend them, also differently in what they send and in
//! what they answer: each has two tables. A code that is in neither means nothing: the message is held and the partner
//! is asked.

use std::collections::BTreeMap;

use crate::callback::CallbackStatus;
use crate::text_enum::text_enum;

text_enum! {
    /// The meaning of a status code.
    pub enum Meaning as "meaning of a status" {
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

/// A table of codes. Upper and lower case are alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusCodes(BTreeMap<String, Meaning>);

impl StatusCodes {
    /// A table with these codes.
    pub fn new(codes: impl IntoIterator<Item = (String, Meaning)>) -> Self {
        Self::default().with(codes)
    }

    /// The same with these codes on top.
    #[must_use]
    pub fn with(mut self, own: impl IntoIterator<Item = (String, Meaning)>) -> Self {
        let own = own.into_iter();
        self.0
            .extend(own.map(|(code, meaning)| (code.to_ascii_lowercase(), meaning)));
        self
    }

    /// The meaning of a code, if it is in the table.
    pub fn meaning(&self, code: &str) -> Option<Meaning> {
        if code.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.0.get(&code.to_ascii_lowercase()).copied();
        }
        self.0.get(code).copied()
    }

    /// The codes with their meanings.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Meaning)> {
        self.0
            .iter()
            .map(|(code, meaning)| (code.as_str(), *meaning))
    }
}

/// The codes on which partners contradict each other: for one 03 is paid, for another it is pending.
const DOUBTFUL: [&str; 2] = ["03", "04"];

/// A dialect's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// Of what the partner sends.
    pub notify: StatusCodes,
    /// Of what it answers when it is asked.
    pub query: StatusCodes,
    /// A code in no table: the message is refused, instead of held.
    pub unknown_is_refused: bool,
    /// The codes whose meaning the partner's own text confirms.
    pub confirmed: Vec<String>,
}

impl Statuses {
    /// The codes 03 and 04 that stand in a table without being confirmed, with their meaning: table, code, meaning.
    pub fn unconfirmed(&self) -> Vec<(&'static str, &str, Meaning)> {
        let tables = [("notify", &self.notify), ("query", &self.query)];
        tables
            .into_iter()
            .flat_map(|(table, codes)| {
                codes
                    .iter()
                    .map(move |(code, meaning)| (table, code, meaning))
            })
            .filter(|(_, code, _)| DOUBTFUL.contains(code))
            .filter(|(_, code, _)| !self.confirmed.iter().any(|known| known == code))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_may_bend_the_standard() {
        let codes = StatusCodes::new([("00".to_owned(), Meaning::Success)]).with([
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

    #[test]
    fn codes_that_partners_contradict_each_other_on_need_confirmation() {
        let code = |code: &str, meaning| (code.to_owned(), meaning);
        let mut statuses = Statuses {
            notify: StatusCodes::new([code("03", Meaning::Success), code("00", Meaning::Success)]),
            query: StatusCodes::new([code("04", Meaning::Reversed)]),
            unknown_is_refused: false,
            confirmed: Vec::new(),
        };
        let expected = [
            ("notify", "03", Meaning::Success),
            ("query", "04", Meaning::Reversed),
        ];
        assert_eq!(statuses.unconfirmed(), expected);
        statuses.confirmed = vec!["03".to_owned(), "04".to_owned()];
        assert_eq!(statuses.unconfirmed(), []);
    }
}
