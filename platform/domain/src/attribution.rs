//! At which terminal a printed code was paid, by what the partner's message names.
//!
//! First the merchant is found: by its NMID, its merchant PAN, or the partner's own name for it. Then the terminal, among
//! the merchant's: by the label of its code, by another name of it, by the store it stands in, or because it is the only
//! one that takes static payments. What was looked for in vain is kept as [`Attempt`]s, for the people who attribute the
//! money by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::ids::{OutletId, TerminalId};

use crate::callback::PrintedCode;
use crate::checked_text::checked_text;
use crate::text_enum::text_enum;
use crate::transaction::{QrMode, QrType};

/// The longest name that a partner may have for something of ours, in characters.
pub const PARTNER_NAME_LEN_MAX: usize = 64;

/// A text that cannot be a partner's name for something of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {PARTNER_NAME_LEN_MAX} characters without blanks at the ends")]
pub struct PartnerNameError;

checked_text! {
    /// A partner's own name for a merchant, a store or a terminal.
    PartnerName, PartnerNameError = PartnerNameError, partner_name
}

fn partner_name(text: &str) -> Option<&str> {
    let fits = (1..=PARTNER_NAME_LEN_MAX).contains(&text.chars().count());
    (fits && text.trim() == text && !text.contains(char::is_control)).then_some(text)
}

text_enum! {
    /// What was looked for.
    pub enum LookedFor as "goal" {
        /// Who is paid.
        Merchant = "merchant",
        /// The terminal of these names.
        Terminal = "terminal",
        /// The only terminal of the merchant, or of its store, that takes static payments.
        SoleTerminal = "sole_terminal",
    }
}

text_enum! {
    /// What was found.
    pub enum Found as "finding" {
        /// What was looked for.
        One = "one",
        /// Nothing of these names.
        None = "none",
        /// More than one.
        Several = "several",
        /// A merchant that waits for its review, or was rejected.
        NotApproved = "not_approved",
        /// A merchant that is suspended.
        Suspended = "suspended",
        /// A merchant that is not registered with the partner who sent the message.
        OtherPartner = "other_partner",
        /// A terminal that takes no static payments.
        NotStatic = "not_static",
        /// The text is no NMID, PAN or label.
        Malformed = "malformed",
        /// It names another merchant than the message's NMID or PAN.
        Contradicts = "contradicts",
    }
}

/// One search that was made for the terminal of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// What was looked for.
    pub looked_for: LookedFor,
    /// By which names: the message's fields with their values.
    pub by: BTreeMap<String, String>,
    /// What was found.
    pub found: Found,
}

impl Attempt {
    /// A search by names.
    pub fn new(looked_for: LookedFor, by: &[(&str, &str)], found: Found) -> Self {
        let by = by.iter();
        Self {
            looked_for,
            by: by
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            found,
        }
    }
}

text_enum! {
    /// What became of a name that an assignment was to teach.
    pub enum Taught as "outcome of a lesson" {
        /// It is the partner's name from now on.
        Set = "set",
        /// It was so already.
        Known = "known",
        /// Ours has another name already, which stays.
        HasAnother = "has_another",
        /// Another of ours has this name, or a message with it is attributed to another.
        OfAnother = "of_another",
        /// The terminal takes no static payments.
        NotStatic = "not_static",
        /// The text can be no name.
        Malformed = "malformed",
    }
}

/// One name that an assignment was to teach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lesson {
    /// `partner_merchant_id`, `partner_store_id` or `partner_terminal_id`.
    pub field: String,
    /// The partner's name.
    pub value: String,
    /// What became of it.
    pub outcome: Taught,
}

/// A terminal of a merchant, with the names by which a message can mean it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of a terminal and its outlet")]
pub struct Candidate {
    pub id: TerminalId,
    pub outlet_id: OutletId,
    pub terminal_label: String,
    pub partner_terminal_id: Option<String>,
    /// Of its outlet.
    pub partner_store_id: Option<String>,
    pub qr_mode: QrMode,
}

impl Candidate {
    fn takes_static(&self) -> bool {
        self.qr_mode.takes(QrType::Static)
    }

    /// Whether its partner calls its store so; an outlet without such a name may be any store.
    fn may_stand_in(&self, store: Option<&str>) -> bool {
        match (&self.partner_store_id, store) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }
}

/// The ways in which a text can name a terminal.
#[derive(Clone, Copy)]
enum By {
    Label,
    /// In another case.
    LabelInAnyCase,
    /// Partners number the terminals of each store from one: such a name means nothing in another store.
    PartnerId,
    OurId,
}

impl By {
    fn names(self, text: &str, candidate: &Candidate, code: &PrintedCode) -> bool {
        match self {
            Self::Label => candidate.terminal_label == text,
            Self::LabelInAnyCase => candidate.terminal_label.to_lowercase() == text.to_lowercase(),
            Self::PartnerId => {
                candidate.partner_terminal_id.as_deref() == Some(text)
                    && candidate.may_stand_in(code.store_id.as_deref())
            }
            Self::OurId => text.parse() == Ok(candidate.id),
        }
    }
}

/// What a message calls the terminal, and in which order it is tried what it may mean by it.
fn names(code: &PrintedCode) -> [(&'static str, Option<&str>, &'static [By]); 2] {
    use By::{Label, LabelInAnyCase, OurId, PartnerId};

    [
        (
            "terminal_label",
            code.terminal_label.as_deref(),
            &[Label, LabelInAnyCase, PartnerId],
        ),
        (
            "terminal_id",
            code.terminal_id.as_deref(),
            &[PartnerId, Label, LabelInAnyCase, OurId],
        ),
    ]
}

/// The terminal that a message names, by its label or by another name, among a merchant's terminals that have one of its
/// names. What names none is added to `tried`.
pub fn named<'a>(
    code: &PrintedCode,
    candidates: &'a [Candidate],
    tried: &mut Vec<Attempt>,
) -> Option<&'a Candidate> {
    for (field, text, ways) in names(code) {
        let Some(text) = text else { continue };
        let found = if field == "terminal_label" && code.terminal_label().is_none() {
            Err(Found::Malformed)
        } else {
            one_named(code, text, ways, candidates)
        };
        match found {
            Ok(terminal) => return Some(terminal),
            Err(found) => {
                let store = code.store_id.as_deref().map(|store| ("store_id", store));
                let by: Vec<_> = [(field, text)].into_iter().chain(store).collect();
                tried.push(Attempt::new(LookedFor::Terminal, &by, found));
            }
        }
    }
    None
}

fn one_named<'a>(
    code: &PrintedCode,
    text: &str,
    ways: &[By],
    candidates: &'a [Candidate],
) -> Result<&'a Candidate, Found> {
    let mut is_any_dynamic = false;
    for way in ways {
        let meant = candidates
            .iter()
            .filter(|candidate| way.names(text, candidate, code));
        let (meant, dynamic): (Vec<_>, Vec<_>) =
            meant.partition(|candidate| candidate.takes_static());
        is_any_dynamic |= !dynamic.is_empty();
        match meant.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                // The one that certainly stands in the store that is named.
                let store = code.store_id.as_deref();
                let is_there =
                    |one: &&&Candidate| store.is_some() && one.partner_store_id.as_deref() == store;
                let mut there = several.iter().filter(is_there);
                return match (there.next(), there.next()) {
                    (Some(one), None) => Ok(one),
                    _ => Err(Found::Several),
                };
            }
        }
    }
    Err(if is_any_dynamic {
        Found::NotStatic
    } else {
        Found::None
    })
}

/// The only terminal that takes static payments, among up to two of those that do, or one that does not.
///
/// # Errors
/// What was found instead.
pub fn sole(candidates: &[Candidate]) -> Result<&Candidate, Found> {
    let mut takers = candidates
        .iter()
        .filter(|candidate| candidate.takes_static());
    match (takers.next(), takers.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Found::Several),
        (None, _) if candidates.is_empty() => Err(Found::None),
        (None, _) => Err(Found::NotStatic),
    }
}

#[cfg(test)]
mod tests;
