//! A message whose signature was checked, read by its dialect: strict about what decides (order or payee, reference, amount,
//! currency, status), lenient about everything else ([`crate::partner_message`]).

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use wire::ids::TransactionId;

use super::pointer::{Document, Found, Place};
use super::reference::ReferenceForm;
use super::status::{Meaning, StatusCodes};
use super::{BodyForm, Dialect};
use crate::callback::{
    Callback, CallbackError, CallbackStatus, CallbackTarget, PaidAmount, PrintedCode, currency,
    read_object,
};
use crate::partner_message::{Adjustment, Lenient, deciding};
use crate::validation::FieldError;

/// What an acquirer said of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name for the message, when it gives one.
    pub event_id: Option<String>,
    /// The order as it is named.
    pub order: Option<String>,
    /// Which payment, if it is named.
    pub target: Option<CallbackTarget>,
    /// Its name for the money.
    pub partner_reference: Option<String>,
    /// What the customer paid.
    pub amount: Option<PaidAmount>,
    /// Which refund it is about.
    pub refund_no: Option<String>,
    /// What was taken back, where that stands beside the amount.
    pub refund_amount: Option<PaidAmount>,
    /// Its status code, unchanged.
    pub status_code: String,
    /// What that means, when its table says so.
    pub meaning: Option<Meaning>,
    /// When the customer paid, by its clock.
    pub paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
    /// What of the message was cut or dropped.
    pub adjustments: Vec<Adjustment>,
    /// Names of what every callback needs, as the acquirer writes them.
    names: [String; 3],
}

/// An order that was looked up by its name ([`Dialect::stored_name`]).
#[derive(Debug, Clone, Copy)]
pub struct KnownOrder<'a> {
    /// How it is named to the acquirer.
    pub name: &'a str,
    /// Our transaction.
    pub id: TransactionId,
}

/// What is wrong with a field that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field as the acquirer writes it, with points: `amount.value`.
    pub field: String,
    /// In which way.
    pub kind: ProblemKind,
    /// For people.
    pub message: String,
}

/// In which way a field is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It must be there and is not.
    Missing,
    /// It is not of its form.
    Format,
    /// The amount is no payment.
    Amount,
}

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not JSON.
    #[error("not JSON")]
    Malformed,
    /// JSON, but no object, or with a field that decides twice.
    #[error("{0}")]
    Shape(String),
    /// Fields that decide are missing or wrong; never empty.
    #[error("{} fields are missing or wrong", .0.len())]
    Fields(Vec<Problem>),
}

impl From<ReadError> for CallbackError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Malformed => Self::Malformed,
            ReadError::Shape(message) => Self::Invalid(vec![FieldError::new("body", message)]),
            ReadError::Fields(problems) => match problems.as_slice() {
                [alone] if alone.kind == ProblemKind::Amount => Self::Amount(alone.message.clone()),
                _ => Self::Invalid(
                    problems
                        .into_iter()
                        .map(|one| FieldError::new(&one.field, one.message))
                        .collect(),
                ),
            },
        }
    }
}

impl Message {
    /// The message as a callback of what happened. Its id is the given one, else its own, else made of what decides.
    ///
    /// # Errors
    /// What every callback needs and this one leaves out.
    pub fn callback(
        &self,
        external_id: Option<&str>,
        status: CallbackStatus,
    ) -> Result<Callback, ReadError> {
        let missing = |at: usize| {
            let problem = Problem {
                field: self.names[at].clone(),
                kind: ProblemKind::Missing,
                message: "is required".to_owned(),
            };
            ReadError::Fields(vec![problem])
        };
        let target = self.target.clone().ok_or_else(|| missing(0))?;
        let partner_reference = self.partner_reference.clone().ok_or_else(|| missing(1))?;
        let is_refund = status == CallbackStatus::Reversed;
        let amount = self.refund_amount.as_ref().filter(|_| is_refund);
        let amount = amount.or(self.amount.as_ref()).cloned();
        let amount = amount.ok_or_else(|| missing(2))?;
        let event_id = external_id
            .map(str::to_owned)
            .or_else(|| self.event_id.clone())
            .unwrap_or_else(|| format!("{partner_reference}:{status}"));
        Ok(Callback {
            event_id,
            target,
            partner_reference,
            amount,
            refund_no: self.refund_no.clone().filter(|_| is_refund),
            status,
            paid_at: self.paid_at,
            rrn: self.rrn.clone(),
            issuer: self.issuer.clone(),
            adjustments: self.adjustments.clone(),
        })
    }

    /// What happened, by the acquirer's table; none when nothing did, or the code means nothing.
    pub fn happened(&self) -> Option<CallbackStatus> {
        self.meaning.and_then(Meaning::happened)
    }
}

impl Dialect {
    /// What carries the fields of a message: its body, or its query.
    pub fn carrier<'a>(&self, path: &'a str, body: &'a [u8]) -> &'a [u8] {
        match self.inbound.body {
            BodyForm::Json | BodyForm::Form => body,
            BodyForm::Query => path
                .split_once('?')
                .map_or("", |(_, query)| query)
                .as_bytes(),
        }
    }

    /// The fields of a message as a JSON object, whatever form they are written in.
    pub fn fields_of<'a>(&self, carrier: &'a [u8]) -> Cow<'a, [u8]> {
        match self.inbound.body {
            BodyForm::Json => Cow::Borrowed(carrier),
            BodyForm::Form | BodyForm::Query => Cow::Owned(json_of_form(carrier)),
        }
    }

    /// The order of a message when only the stored order says which transaction it names. None where names are read back
    /// by themselves, which needs no look at the message.
    pub fn stored_name(&self, fields: &[u8]) -> Option<String> {
        let form = self.reference();
        if !matches!(form, ReferenceForm::Short(_)) {
            return None;
        }
        let document = self.layout.open(read_object(fields).ok()?).ok()?;
        let name = deciding(document.first(&self.fields.order)).ok()??;
        form.is_stored(&name).then_some(name)
    }

    /// Reads a message that the acquirer sent, in a dialect whose names are read back by themselves.
    ///
    /// # Errors
    /// As for [`Dialect::read_about`].
    pub fn read(&self, fields: &[u8]) -> Result<Message, ReadError> {
        self.read_about(fields, None)
    }

    /// Reads a message that the acquirer sent, perhaps about an order that was looked up.
    ///
    /// # Errors
    /// [`ReadError`]. What is missing is no error while nothing has happened.
    pub fn read_about(
        &self,
        fields: &[u8],
        known: Option<KnownOrder<'_>>,
    ) -> Result<Message, ReadError> {
        let (message, problems) = self.parse_fields(fields, &self.statuses.notify, known)?;
        let is_final = message
            .meaning
            .is_some_and(|meaning| meaning.happened().is_some());
        finish(message, problems, is_final)
    }

    /// Reads an answer to a question about an order. What it leaves out is known from the question.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_answer(&self, fields: &[u8], asked: KnownOrder<'_>) -> Result<Message, ReadError> {
        let (message, problems) = self.parse_fields(fields, &self.statuses.query, Some(asked))?;
        finish(message, problems, false)
    }

    fn parse_fields(
        &self,
        fields: &[u8],
        codes: &StatusCodes,
        known: Option<KnownOrder<'_>>,
    ) -> Result<(Message, Vec<Problem>), ReadError> {
        let object = read_object(fields)?;
        let document = self
            .layout
            .open(object)
            .map_err(|twice| ReadError::Shape(format!("{twice} is there twice")))?;
        let mut reading = Reading {
            dialect: self,
            document: &document,
            lenient: Lenient::default(),
            problems: Vec::new(),
        };
        for _ in 0..document.broken() {
            reading.lenient.drop_field("additional_info");
        }
        let (order, target) = reading.target(known);
        let partner_reference = reading.reference();
        reading.currency();
        let (status_code, meaning) = reading.status(codes);
        let amount = reading.amount();
        let (refund_no, refund_amount) = reading.refund(meaning);
        let fields = &self.fields;
        let name = |places: &[Place]| match places.first() {
            Some(place) => place.name.clone(),
            None => String::new(),
        };
        let text = |lenient: &mut Lenient, field, places: &[Place]| {
            lenient.text(field, document.first(places))
        };
        let lenient = &mut reading.lenient;
        let message = Message {
            event_id: text(lenient, "event_id", &fields.event_id),
            order,
            target,
            partner_reference,
            amount,
            refund_no,
            refund_amount,
            status_code,
            meaning,
            paid_at: document
                .all(&fields.paid_at)
                .find_map(|raw| lenient.time("paid_at", Some(raw), &self.times)),
            rrn: text(lenient, "rrn", &fields.rrn),
            issuer: text(lenient, "issuer", &fields.issuer),
            adjustments: std::mem::take(lenient).into_adjustments(),
            names: [
                name(&fields.order),
                name(&fields.reference),
                name(&fields.amount),
            ],
        };
        Ok((message, reading.problems))
    }
}

/// What is wrong refuses a message; what is missing does so when something happened.
fn finish(message: Message, problems: Vec<Problem>, is_final: bool) -> Result<Message, ReadError> {
    let has_no_status = message.status_code.is_empty();
    let is_wrong = problems.iter().any(|one| one.kind != ProblemKind::Missing);
    if is_wrong || has_no_status || (is_final && !problems.is_empty()) {
        return Err(ReadError::Fields(problems));
    }
    Ok(message)
}

struct Reading<'d, 'a> {
    dialect: &'d Dialect,
    document: &'d Document<'a>,
    lenient: Lenient,
    problems: Vec<Problem>,
}

impl<'d> Reading<'d, '_> {
    fn refuse(&mut self, field: &str, kind: ProblemKind, message: impl Into<String>) {
        self.problems.push(Problem {
            field: field.to_owned(),
            kind,
            message: message.into(),
        });
    }

    /// The value of a field that must be there.
    fn required(&mut self, places: &'d [Place]) -> Option<&'d RawValue> {
        let document = self.document;
        match document.find(places) {
            Found::Value(raw) => Some(raw),
            Found::Absent(name) => {
                self.refuse(name, ProblemKind::Missing, "is required");
                None
            }
            Found::Broken(name) => {
                self.refuse(name, ProblemKind::Format, "expected an object");
                None
            }
        }
    }

    /// The order, or the printed code when there is no order that is ours.
    fn target(
        &mut self,
        known: Option<KnownOrder<'_>>,
    ) -> (Option<String>, Option<CallbackTarget>) {
        let (fields, document) = (&self.dialect.fields, self.document);
        let written = deciding(document.first(&fields.order));
        let order = written.clone().ok().flatten();
        let id = order.as_deref().and_then(|name| {
            known
                .filter(|known| known.name == name)
                .map(|known| known.id)
                .or_else(|| self.dialect.reference().read(name))
        });
        if let Some(id) = id {
            // The terminal of an order is known.
            let nmid = self.lenient.text("nmid", document.first(&fields.nmid));
            let read = nmid
                .as_ref()
                .and_then(|text| text.to_ascii_uppercase().parse().ok());
            if nmid.is_some() && read.is_none() {
                self.lenient.drop_field("nmid");
            }
            return (order, Some(CallbackTarget::Transaction { id, nmid: read }));
        }
        let lenient = &mut self.lenient;
        let mut text = |field, places: &[Place]| lenient.text(field, document.first(places));
        let code = PrintedCode {
            nmid: text("nmid", &fields.nmid).map(|nmid| nmid.to_ascii_uppercase()),
            merchant_pan: text("mpan", &fields.mpan),
            terminal_label: text("terminal_label", &fields.terminal_label),
            terminal_id: text("terminal_id", &fields.terminal_id),
            merchant_id: text("merchant_id", &fields.merchant_id),
            store_id: text("store_id", &fields.store_id),
        };
        if !code.is_empty() {
            return (order, Some(CallbackTarget::Static(code)));
        }
        let name = fields.order.first().map(|place| place.name.clone());
        let name = name.unwrap_or_default();
        match written {
            Ok(None) => {
                let message = format!("a {name} is required, or what names a printed code");
                self.refuse(&name, ProblemKind::Missing, message);
            }
            Ok(Some(_)) => self.refuse(&name, ProblemKind::Format, "is not an order of ours"),
            Err(message) => self.refuse(&name, ProblemKind::Format, message),
        }
        (order, None)
    }

    fn reference(&mut self) -> Option<String> {
        let places = &self.dialect.fields.reference;
        let name = places.first().map(|place| place.name.as_str());
        let name = name.unwrap_or_default();
        match deciding(self.document.first(places)) {
            Ok(Some(reference)) => Some(reference),
            Ok(None) => {
                self.refuse(name, ProblemKind::Missing, "is required");
                None
            }
            Err(message) => {
                self.refuse(name, ProblemKind::Format, message);
                None
            }
        }
    }

    fn currency(&mut self) {
        let fields = &self.dialect.fields;
        let Some(place) = fields.currency.first() else {
            return;
        };
        // Amount and currency of one object are one field to who sends them.
        let beside = fields.amount.iter().find(|amount| amount.is_beside(place));
        let name = beside.map_or(place.name.as_str(), |amount| amount.name.as_str());
        let read = deciding(self.document.first(&fields.currency));
        match read {
            Ok(Some(text)) => {
                if let Err(message) = currency(&text) {
                    self.refuse(name, ProblemKind::Format, message);
                }
            }
            Ok(None) => {
                if self.dialect.amount.currency_required && self.document.has_object_of(place) {
                    self.refuse(name, ProblemKind::Missing, "is required");
                }
            }
            Err(message) => self.refuse(name, ProblemKind::Format, message),
        }
    }

    fn status(&mut self, codes: &StatusCodes) -> (String, Option<Meaning>) {
        let fields = &self.dialect.fields;
        let raw = self.document.first(&fields.status);
        let name = fields.status.first().map(|place| place.name.as_str());
        let name = name.unwrap_or_default();
        let mut code = match deciding(raw) {
            Ok(Some(code)) => code,
            Ok(None) => {
                self.refuse(name, ProblemKind::Missing, "is required");
                return (String::new(), None);
            }
            Err(message) => {
                self.refuse(name, ProblemKind::Format, message);
                return (String::new(), None);
            }
        };
        if !fields.status_detail.is_empty() {
            let detail = deciding(self.document.first(&fields.status_detail));
            let _ = write!(code, "+{}", detail.ok().flatten().unwrap_or_default());
        }
        let meaning = codes.meaning(&code);
        if meaning.is_none() && self.dialect.statuses.unknown_is_refused {
            self.refuse(name, ProblemKind::Format, "is not a status of this dialect");
        }
        (code, meaning)
    }

    fn amount(&mut self) -> Option<PaidAmount> {
        let (dialect, document) = (self.dialect, self.document);
        let fields = &dialect.fields;
        let name = fields.amount.first().map(|place| place.name.as_str());
        let name = name.unwrap_or_default();
        if dialect.amount.may_be_absent && document.first(&fields.amount).is_none() {
            return None;
        }
        let written = self.required(&fields.amount).map(PaidAmount::read);
        let paid = match written? {
            Ok(amount) => amount,
            Err(message) => {
                self.refuse(name, ProblemKind::Amount, message);
                return None;
            }
        };
        if dialect.amount.includes_tip {
            return Some(paid);
        }
        let Some(raw) = document.first(&fields.tip) else {
            return Some(paid);
        };
        match paid.plus_tip(raw) {
            Ok(amount) => Some(amount),
            Err(message) => {
                let name = fields.tip.first().map(|place| place.name.as_str());
                self.refuse(name.unwrap_or_default(), ProblemKind::Amount, message);
                None
            }
        }
    }
}

impl Reading<'_, '_> {
    /// Which refund the message is about, and how much it took back: read only of a message that takes money back.
    fn refund(&mut self, meaning: Option<Meaning>) -> (Option<String>, Option<PaidAmount>) {
        if meaning.and_then(Meaning::happened) != Some(CallbackStatus::Reversed) {
            return (None, None);
        }
        let (fields, document) = (&self.dialect.fields, self.document);
        let refund_no = deciding(document.first(&fields.refund_no)).unwrap_or_else(|_| {
            self.lenient.drop_field("refund_no");
            None
        });
        let written = document.first(&fields.refund_amount);
        let amount = match written.map(PaidAmount::read).transpose() {
            Ok(amount) => amount,
            Err(message) => {
                let name = fields
                    .refund_amount
                    .first()
                    .map(|place| place.name.as_str());
                self.refuse(name.unwrap_or_default(), ProblemKind::Amount, message);
                None
            }
        };
        (refund_no, amount)
    }
}

/// A form as a JSON object of texts. A name that is there twice stays there twice.
fn json_of_form(form: &[u8]) -> Vec<u8> {
    let mut json = String::from("{");
    for (name, value) in form_urlencoded::parse(form) {
        if json.len() > 1 {
            json.push(',');
        }
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let _ = write!(json, "{}:{}", text(&name), text(&value));
    }
    json.push('}');
    json.into_bytes()
}
