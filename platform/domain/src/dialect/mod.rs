//! A dialect: what one acquirer does its own way, as data.
//!
//! Acquirers agree on what a message about a payment says and differ in how they say it: the path they call, how they
//! sign, where a field is, what a status code means, which answer they want. A dialect names all of that in a TOML file.
//! It is read once, at start; what is wrong with it is refused with line and key, so that nothing is left to be found out
//! while money arrives. The receiver and the client of partners are the same for all.
//!
//! | file | contents |
//! |---|---|
//! | `file` | the TOML as it is written, and its refusal |
//! | `pointer` | where fields are: JSON pointers made ready for reading |
//! | `fields`, `message` | which fields count, and a message read by them |
//! | `status` | two tables of status codes |
//! | `signature` | how a message is signed, and its check |
//! | `answer` | what the acquirer is answered |
//! | `outbound`, `template`, `request` | how the acquirer is called, and the bodies of what it is asked for |
//! | `reference` | our order's name where an acquirer takes only a short one |
//! | `builtin` | the dialects that are built into the program |

pub mod answer;
mod builtin;
mod digest;
mod fields;
mod file;
mod message;
pub mod outbound;
mod pointer;
pub mod reference;
pub mod request;
pub mod secret;
pub mod signature;
pub mod status;
pub mod template;

use crate::dialect::answer::Answers;
use crate::dialect::fields::Fields;
use crate::dialect::outbound::Outbound;
use crate::dialect::pointer::Layout;
use crate::dialect::reference::ReferenceForm;
use crate::dialect::signature::Signing;
use crate::dialect::status::Statuses;
use crate::partner_message::Times;

pub use builtin::{NAMES, built_in, source};
pub use file::DialectError;
pub use message::{KnownOrder, Message, Problem, ProblemKind, ReadError};

/// How one acquirer speaks to us, and wants to be spoken to.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// Its name: that of its file.
    pub name: String,
    /// Who speaks it, for people.
    pub title: String,
    /// The texts that its facts come from.
    pub sources: Vec<String>,
    /// What the acquirer calls.
    pub inbound: Inbound,
    /// How its messages are signed.
    pub signing: Signing,
    /// What its status codes mean.
    pub statuses: Statuses,
    /// What it is answered.
    pub answers: Answers,
    /// How it is called; none: it only calls us.
    pub outbound: Option<Outbound>,
    layout: Layout,
    fields: Fields,
    amount: AmountRule,
    times: Times,
}

/// What an acquirer calls, and how its messages are carried.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The paths it calls, besides those that name our partner.
    pub paths: Vec<String>,
    /// Where it asks for an access token of ours, when it signs with one.
    pub token_path: Option<String>,
    /// The header that names the partner, in lower case; none: the path does.
    pub partner_header: Option<String>,
    /// The header that names a message once a day, in lower case.
    pub external_id_header: Option<String>,
    /// Whether a message without it is refused.
    pub external_id_required: bool,
    /// How the fields are written.
    pub body: BodyForm,
}

/// How the fields of a message are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// A JSON object.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Parameters of the query.
    Query,
}

/// How the amount is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AmountRule {
    /// The field holds what the customer paid, tip included; else the tip is added to it.
    pub(crate) includes_tip: bool,
    /// A message that names no currency is refused.
    pub(crate) currency_required: bool,
    /// A success may leave the amount out; the acquirer is then asked.
    pub(crate) may_be_absent: bool,
}

impl Dialect {
    /// Reads a dialect from its TOML.
    ///
    /// # Errors
    /// The first thing that is wrong with it: line, key and what is expected.
    pub fn parse(text: &str) -> Result<Self, DialectError> {
        file::read(text)
    }

    /// Whether the acquirer calls this path (without its query).
    pub fn calls(&self, path: &str) -> bool {
        self.inbound.paths.iter().any(|own| own == path)
    }

    /// Whether it takes back parts of a payment.
    pub fn takes_back_parts(&self) -> bool {
        self.outbound
            .as_ref()
            .is_some_and(|outbound| outbound.partial_refunds)
    }

    /// How our orders are named to this acquirer.
    pub fn reference(&self) -> ReferenceForm {
        self.outbound
            .as_ref()
            .map_or(ReferenceForm::Full, |outbound| outbound.reference)
    }
}

#[cfg(test)]
mod tests;
