//! How a partner is answered: in the form of its dialect.

use std::borrow::Borrow;

use domain::dialect::answer::{AnswerForm, Answers, Occasion};
use domain::dialect::{Problem, ProblemKind, ReadError};
use domain::partner_signature::SignatureError;
use domain::snap::answer::Case;
use serde_json::Value;
use store::outage::Outage;
use store::payment::external_id::Answered;

use super::Receipt;
use super::receiver::{unreadable, untrusted};
use crate::{Error, secret};
use domain::snap::minify::minify;

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// In our own form.
    Ours(Result<Receipt, Error>),
    /// In the partner's.
    Theirs {
        /// The HTTP status.
        http_status: u16,
        /// A text is sent as it is; anything else as JSON.
        body: Value,
        /// What the database lacks, when that is the reason.
        outage: Option<Outage>,
    },
}

/// What became of a message, before it is put into a form.
#[derive(Debug)]
pub(super) enum Outcome {
    Taken(Receipt),
    /// Kept, and without effect.
    Refused(Refusal),
}

impl Outcome {
    /// In the form of these answers.
    pub(super) fn reply(self, answers: &Answers) -> Reply {
        let (case, occasion) = match &self {
            Self::Taken(receipt) if receipt.verdict == "duplicate" => {
                (Case::Successful, Occasion::Duplicate)
            }
            Self::Taken(_) => (Case::Successful, Occasion::Success),
            Self::Refused(refusal) => (refusal.case.clone(), refusal.occasion()),
        };
        if answers.form == AnswerForm::Envelope && answers.fixed(occasion).is_none() {
            return Reply::Ours(match self {
                Self::Taken(receipt) => Ok(receipt),
                Self::Refused(refusal) => Err(refusal.error),
            });
        }
        let outage = match &self {
            Self::Refused(refusal) => refusal.error.outage(),
            Self::Taken(_) => None,
        };
        let (http_status, body) = answers.of(&case, occasion);
        Reply::Theirs {
            http_status,
            body,
            outage,
        }
    }
}

/// What is kept of an answer, so that the same message is answered the same.
pub(super) fn answered(answers: &Answers, case: &Case, body: &[u8]) -> Answered {
    let occasion = match case {
        Case::Successful => Occasion::Success,
        _ => Occasion::Refusal,
    };
    let (http_status, answer) = answers.of(case, occasion);
    Answered {
        body_hash: secret::hash_bytes(&minify(body)),
        http_status,
        answer,
    }
}

/// Why a message is refused: how that is said by the standard, and the error in the archive.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) case: Case,
    pub(super) error: Error,
}

impl Refusal {
    pub(super) fn new(case: Case, error: Error) -> Self {
        Self { case, error }
    }

    fn occasion(&self) -> Occasion {
        match self.case {
            Case::GeneralError | Case::Unavailable => Occasion::Failure,
            _ => Occasion::Refusal,
        }
    }

    pub(super) fn missing(field: &str) -> Self {
        let case = Case::InvalidMandatoryField(field.into());
        Self::new(case, Error::field(field, "is required"))
    }

    pub(super) fn format(field: &str) -> Self {
        let case = Case::InvalidFieldFormat(field.into());
        Self::new(case, Error::field(field, "is not of its form"))
    }
}

impl Borrow<Error> for Refusal {
    fn borrow(&self) -> &Error {
        &self.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let case = match error.outage() {
            Some(_) => Case::Unavailable,
            None => Case::GeneralError,
        };
        Self::new(case, error)
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        let reason = match error {
            SignatureError::StaleTimestamp => "Timestamp",
            _ => "Signature",
        };
        Self::new(Case::Unauthorized(reason), untrusted(error))
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let case = match &error {
            ReadError::Malformed | ReadError::Shape(_) => Case::InvalidFieldFormat("body".into()),
            ReadError::Fields(problems) => match problems.first() {
                Some(Problem {
                    field,
                    kind: ProblemKind::Missing,
                    ..
                }) => Case::InvalidMandatoryField(field.clone()),
                Some(problem) => Case::InvalidFieldFormat(problem.field.clone()),
                None => Case::InvalidFieldFormat("body".into()),
            },
        };
        Self::new(case, unreadable(error.into()))
    }
}
