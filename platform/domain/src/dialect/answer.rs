//! What an acquirer is answered: in our own form, in SNAP's, or with what its file says.

use serde_json::{Map, Value};

use crate::snap::answer::Case;

/// The form of answers for which the file has no text of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerForm {
    /// Ours: `{"data": …}` or `{"code": …}`.
    Envelope,
    /// A response code of seven digits and a message.
    Snap {
        /// The name of the code's field.
        code_field: String,
        /// The name of the message's field.
        message_field: String,
        /// The two digits of the service.
        service: String,
    },
    /// Only what the file says.
    Fixed,
}

/// An answer that the file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The HTTP status.
    pub http_status: u16,
    /// A text is sent as it is; anything else as JSON.
    pub body: Value,
}

/// What became of a message, as far as answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It was taken.
    Success,
    /// It was taken before.
    Duplicate,
    /// It is not believed, cannot be read, or contradicts what is known.
    Refusal,
    /// Our fault: it is to be sent again.
    Failure,
}

/// A dialect's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The form where nothing is fixed.
    pub form: AnswerForm,
    pub(super) success: Option<Fixed>,
    pub(super) duplicate: Option<Fixed>,
    pub(super) refusal: Option<Fixed>,
    pub(super) failure: Option<Fixed>,
}

impl Answers {
    /// What the file says of this occasion. A duplicate is answered like the first, unless the file says otherwise.
    pub fn fixed(&self, occasion: Occasion) -> Option<&Fixed> {
        match occasion {
            Occasion::Success => self.success.as_ref(),
            Occasion::Duplicate => self.duplicate.as_ref().or(self.success.as_ref()),
            Occasion::Refusal => self.refusal.as_ref(),
            Occasion::Failure => self.failure.as_ref(),
        }
    }

    /// The answer to a case of the standard: HTTP status and body.
    pub fn of(&self, case: &Case, occasion: Occasion) -> (u16, Value) {
        if let Some(fixed) = self.fixed(occasion) {
            return (fixed.http_status, fixed.body.clone());
        }
        let (code, message, service) = match &self.form {
            AnswerForm::Snap {
                code_field,
                message_field,
                service,
            } => (
                code_field.as_str(),
                message_field.as_str(),
                service.as_str(),
            ),
            AnswerForm::Envelope | AnswerForm::Fixed => ("responseCode", "responseMessage", "52"),
        };
        let mut body = Map::new();
        body.insert(code.to_owned(), case.code(service).into());
        body.insert(message.to_owned(), case.message().into());
        (case.status(), Value::Object(body))
    }
}
