//! What a QRIS partner says of a payment, whatever its dialect: read from bytes whose signature was checked.
//!
//! The body is taken apart once, here, into types that cannot hold nonsense. Of what decides (order or payee, reference,
//! amount, currency, status) every field that breaks a rule is named in one answer; everything else never refuses a
//! message ([`crate::partner_message`]). Unknown fields are left alone: partners add some.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use wire::ids::TransactionId;
use wire::rupiah::{AmountError, Rupiah};

use crate::dialect::ReadError;
use crate::partner_message::{Adjustment, Object, deciding};
use crate::qris::{MerchantPan, Nmid, TerminalLabel};
use crate::text_enum::text_enum;
use crate::validation::FieldError;

pub use crate::partner_message::TEXT_LEN_MAX;

text_enum! {
    /// What happened at the partner.
    pub enum CallbackStatus as "callback status" {
        /// The customer paid.
        Success = "success",
        /// The customer's payment was refused.
        Failed = "failed",
        /// The code ran out.
        Expired = "expired",
        /// A payment was taken back.
        Reversed = "reversed",
    }
}

/// Which payment a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackTarget {
    /// One that we asked a dynamic code for. The merchant may be named besides, and must then be the right one.
    Transaction {
        /// Our id, which the partner got with the request.
        id: TransactionId,
        /// The merchant that the partner credits.
        nmid: Option<Nmid>,
    },
    /// One on a printed code.
    Static(PrintedCode),
}

impl CallbackTarget {
    /// The merchant that the partner credits, when it is named by an NMID of the right form.
    pub fn nmid(&self) -> Option<Nmid> {
        match self {
            Self::Transaction { nmid, .. } => nmid.clone(),
            Self::Static(code) => code.nmid(),
        }
    }
}

/// The printed code that was paid, as the message describes it. All of it is a claim: it may name nothing known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrintedCode {
    /// The merchant that the partner credits, in capital letters.
    pub nmid: Option<String>,
    /// The merchant's PAN.
    pub merchant_pan: Option<String>,
    /// The terminal, by tag 62.07 of the code.
    pub terminal_label: Option<String>,
    /// The terminal, by another name.
    pub terminal_id: Option<String>,
    /// The merchant, by the partner's own id.
    pub merchant_id: Option<String>,
    /// The outlet, by the partner's own id.
    pub store_id: Option<String>,
}

impl PrintedCode {
    /// Whether all fields are absent.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The NMID, if it is one.
    pub fn nmid(&self) -> Option<Nmid> {
        self.nmid.as_deref().and_then(|text| text.parse().ok())
    }

    /// The merchant PAN, if it is one.
    pub fn merchant_pan(&self) -> Option<MerchantPan> {
        self.merchant_pan
            .as_deref()
            .and_then(|text| text.parse().ok())
    }

    /// The terminal label, if it can be one: a longer text names no terminal.
    pub fn terminal_label(&self) -> Option<TerminalLabel> {
        self.terminal_label
            .as_deref()
            .and_then(|text| text.parse().ok())
    }
}

/// The longest text of an amount that is kept without being counted, in bytes.
const AMOUNT_LEN_MAX: usize = 40;

/// The amount of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaidAmount {
    /// At least one rupiah.
    Exact(Rupiah),
    /// A whole number of rupiah beyond 64 bits, as it was written.
    OutOfRange(String),
}

impl PaidAmount {
    /// The amount, if it can be counted.
    pub fn rupiah(&self) -> Option<Rupiah> {
        match self {
            Self::Exact(amount) => Some(*amount),
            Self::OutOfRange(_) => None,
        }
    }

    /// Reads an amount from the text of its JSON.
    pub(crate) fn read(raw: &RawValue) -> Result<Self, String> {
        let message = match amount(raw) {
            Ok(amount) => return Ok(Self::Exact(amount)),
            Err(message) => message,
        };
        let text = deciding(Some(raw)).ok().flatten().unwrap_or_default();
        let is_beyond = Rupiah::from_json(raw.get()) == Err(AmountError::OutOfRange);
        if is_beyond && text.len() <= AMOUNT_LEN_MAX && !text.starts_with('-') {
            Ok(Self::OutOfRange(text))
        } else {
            Err(message)
        }
    }
}

impl PaidAmount {
    /// The amount with a tip that stands beside it.
    pub(crate) fn plus_tip(self, tip: &RawValue) -> Result<Self, String> {
        let tip = Rupiah::from_json(tip.get()).map_err(|error| error.to_string())?;
        if tip < Rupiah::ZERO {
            return Err("a tip is not negative".to_owned());
        }
        match self {
            Self::Exact(amount) => match amount.to_i64().checked_add(tip.to_i64()) {
                Some(sum) => Ok(Self::Exact(Rupiah::from_i64(sum))),
                None => Err("amount and tip cannot be counted".to_owned()),
            },
            beyond @ Self::OutOfRange(_) => Ok(beyond),
        }
    }
}

impl From<Rupiah> for PaidAmount {
    fn from(amount: Rupiah) -> Self {
        Self::Exact(amount)
    }
}

/// A callback in which everything that decides is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The partner's name for this message; made of reference and status when it has none.
    pub event_id: String,
    /// The payment.
    pub target: CallbackTarget,
    /// The partner's name for the money; with the partner it identifies a payment.
    pub partner_reference: String,
    /// How much; of a refund, what was taken back.
    pub amount: PaidAmount,
    /// The number of a refund: the partner's, or ours.
    pub refund_no: Option<String>,
    /// What happened.
    pub status: CallbackStatus,
    /// When the customer paid, by the partner's clock.
    pub paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
    /// What of the message was cut or dropped.
    pub adjustments: Vec<Adjustment>,
}

/// Why a body is not a callback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Not JSON.
    #[error("not JSON")]
    Malformed,
    /// JSON, but fields are missing or wrong.
    #[error("{} fields are missing or wrong", .0.len())]
    Invalid(Vec<FieldError>),
    /// Everything else is in order, but the amount is not a payment.
    #[error("{0}")]
    Amount(String),
}

/// The one currency that there is.
pub(crate) fn currency(text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case("IDR") {
        Ok(())
    } else {
        Err("the currency is IDR".to_owned())
    }
}

/// Parses an object. A byte order mark in front of it is skipped: some senders write one (RFC 8259, section 8.1, lets
/// readers ignore it).
pub(crate) fn read_object(bytes: &[u8]) -> Result<Object<'_>, ReadError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            ReadError::Shape(error.to_string())
        } else {
            ReadError::Malformed
        }
    })
}

/// Collects what is wrong, field by field.
#[derive(Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    pub(crate) fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The error of a message with wrong fields, its amount listed last.
    pub(crate) fn into_error<T>(mut self, amount: Option<Result<T, String>>) -> CallbackError {
        if let Some(Err(message)) = amount {
            self.refuse("amount", message);
        }
        CallbackError::Invalid(self.errors)
    }

    /// The amount, which must be there. What [`Fields::into_error`] lists when it is not one.
    pub(crate) fn amount<T>(
        &mut self,
        raw: Option<&RawValue>,
        read: impl FnOnce(&RawValue) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let raw = raw.filter(|raw| raw.get() != "null");
        if raw.is_none() {
            self.refuse("amount", "is required");
        }
        raw.map(read)
    }

    /// A field that must be there, and decides.
    pub(crate) fn deciding<T>(
        &mut self,
        field: &str,
        raw: Option<&RawValue>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        deciding(raw)
            .and_then(|text| text.ok_or_else(|| "is required".to_owned()))
            .and_then(|text| read(&text))
            .map_err(|message| self.refuse(field, message))
            .ok()
    }

    /// A field that decides when it is there.
    pub(crate) fn deciding_if_present<T>(
        &mut self,
        field: &str,
        raw: Option<&RawValue>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        deciding(raw)
            .and_then(|text| text.map(|text| read(&text)).transpose())
            .unwrap_or_else(|message| {
                self.refuse(field, message);
                None
            })
    }
}

/// An amount from the text of its JSON, so that it never passes through a binary float.
pub(crate) fn amount(raw: &RawValue) -> Result<Rupiah, String> {
    let amount = Rupiah::from_json(raw.get()).map_err(|error| error.to_string())?;
    if amount.to_i64() < 1 {
        return Err("an amount is at least one rupiah".to_owned());
    }
    Ok(amount)
}

#[cfg(test)]
mod tests;
