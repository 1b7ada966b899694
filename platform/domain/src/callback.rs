//! What a QRIS partner tells us, in the body of profile `hmac`: read from bytes whose signature was checked.
//!
//! The body is taken apart once, here, into types that cannot hold nonsense; every field that breaks a rule is
//! named in one answer. Unknown fields are left alone: partners add some.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::ids::TransactionId;
use wire::rupiah::Rupiah;

use crate::qris::{Nmid, TerminalLabel};
use crate::text_enum::text_enum;
use crate::validation::FieldError;

/// Longest event id, partner reference, RRN and issuer, in bytes.
pub const TEXT_LEN_MAX: usize = 128;

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

/// Which payment the partner speaks of.
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
    Static {
        /// The merchant that the partner credits.
        nmid: Nmid,
        /// The till, when the code has one.
        terminal_label: Option<TerminalLabel>,
    },
}

/// A callback whose every field is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The partner's name for this message.
    pub event_id: String,
    /// The payment.
    pub target: CallbackTarget,
    /// The partner's name for the money; with the partner it identifies a payment.
    pub partner_reference: String,
    /// At least one rupiah.
    pub amount: Rupiah,
    /// What happened.
    pub status: CallbackStatus,
    /// When the customer paid; always there for a success.
    pub paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
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

/// The body as it comes: everything optional, nothing believed.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    nmid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    terminal_label: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partner_reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    amount: Option<&'a RawValue>,
    #[serde(borrow, default)]
    currency: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    paid_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rrn: Option<&'a RawValue>,
    #[serde(borrow, default)]
    issuer: Option<&'a RawValue>,
}

impl Callback {
    /// Reads a body.
    ///
    /// # Errors
    /// [`CallbackError::Malformed`] when it is no JSON; [`CallbackError::Invalid`] when it is no object, names a
    /// field twice, or with every field that is missing or wrong; [`CallbackError::Amount`] when the amount alone is.
    pub fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        let body: Body<'_> = read_object(body)?;
        let mut fields = Fields::default();
        let event_id = fields.required("event_id", body.event_id, bounded);
        let transaction_id = fields.optional("transaction_id", body.transaction_id, |text| {
            text.parse::<TransactionId>()
                .map_err(|error| error.to_string())
        });
        let nmid = fields.optional("nmid", body.nmid, |text| {
            text.parse::<Nmid>().map_err(|error| error.to_string())
        });
        let terminal_label = fields.optional("terminal_label", body.terminal_label, |text| {
            text.parse::<TerminalLabel>()
                .map_err(|error| error.to_string())
        });
        let partner_reference =
            fields.required("partner_reference", body.partner_reference, bounded);
        let currency = fields.required("currency", body.currency, |text| match text {
            "IDR" => Ok(()),
            _ => Err("the currency is IDR".to_owned()),
        });
        let status = fields.required("status", body.status, |text| {
            text.parse::<CallbackStatus>()
                .map_err(|error| error.to_string())
        });
        let timestamp = |text: &str| {
            DateTime::parse_from_rfc3339(text)
                .map(|time| time.with_timezone(&Utc))
                .map_err(|_| "expected an RFC 3339 time".to_owned())
        };
        let paid_at = if status == Some(CallbackStatus::Success) {
            fields.required("paid_at", body.paid_at, timestamp)
        } else {
            fields.optional("paid_at", body.paid_at, timestamp)
        };
        let rrn = fields.optional("rrn", body.rrn, bounded);
        let issuer = fields.optional("issuer", body.issuer, bounded);
        let target = match (transaction_id, nmid) {
            (Some(id), nmid) => Some(CallbackTarget::Transaction { id, nmid }),
            (None, Some(nmid)) => Some(CallbackTarget::Static {
                nmid,
                terminal_label,
            }),
            (None, None) => {
                // A field that is there and wrong was named already.
                if is_absent(body.transaction_id) && is_absent(body.nmid) {
                    fields.refuse("transaction_id", "a transaction_id or an nmid is required");
                }
                None
            }
        };
        let amount = match body.amount {
            raw if is_absent(raw) => {
                fields.refuse("amount", "is required");
                None
            }
            raw => Some(raw.map_or(Err("is required".to_owned()), amount)),
        };
        match (
            event_id,
            target,
            partner_reference,
            currency,
            status,
            amount,
            fields.errors.is_empty(),
        ) {
            (
                Some(event_id),
                Some(target),
                Some(partner_reference),
                Some(()),
                Some(status),
                Some(amount),
                true,
            ) => {
                let amount = amount.map_err(CallbackError::Amount)?;
                Ok(Self {
                    event_id,
                    target,
                    partner_reference,
                    amount,
                    status,
                    paid_at,
                    rrn,
                    issuer,
                })
            }
            (.., amount, _) => {
                if let Some(Err(message)) = amount {
                    fields.refuse("amount", message);
                }
                Err(CallbackError::Invalid(fields.errors))
            }
        }
    }
}

/// Takes the object apart. An array would do for serde, field by field in order; it will not do here.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CallbackError> {
    let wrong_shape =
        |message: String| CallbackError::Invalid(vec![FieldError::new("body", message)]);
    match serde_json::from_slice::<T>(bytes) {
        Ok(_) if bytes.trim_ascii_start().first() != Some(&b'{') => {
            Err(wrong_shape("expected an object".to_owned()))
        }
        Ok(body) => Ok(body),
        Err(error) if error.is_data() => Err(wrong_shape(error.to_string())),
        Err(_) => Err(CallbackError::Malformed),
    }
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

    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    pub(crate) fn required<T>(
        &mut self,
        field: &str,
        raw: Option<&RawValue>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if is_absent(raw) {
            self.refuse(field, "is required");
        }
        self.optional(field, raw, read)
    }

    /// `null` counts as absent.
    pub(crate) fn optional<T>(
        &mut self,
        field: &str,
        raw: Option<&RawValue>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let raw = raw.filter(|raw| raw.get() != "null")?;
        let read = match serde_json::from_str::<String>(raw.get()) {
            Ok(text) => read(&text),
            Err(_) => Err("expected a string".to_owned()),
        };
        read.map_err(|message| self.refuse(field, message)).ok()
    }
}

fn is_absent(raw: Option<&RawValue>) -> bool {
    raw.is_none_or(|raw| raw.get() == "null")
}

/// A name of somebody else's choosing: visible characters, not too many.
pub(crate) fn bounded(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > TEXT_LEN_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "expected 1 to {TEXT_LEN_MAX} bytes without control characters"
        ));
    }
    Ok(text.to_owned())
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
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn dynamic() -> Value {
        json!({
            "event_id": "e-1",
            "transaction_id": "tx_01890a5d3f2c7b3e8f00112233445566",
            "partner_reference": "ref-1",
            "amount": 50_000,
            "currency": "IDR",
            "status": "success",
            "paid_at": "2026-05-23T17:00:00+07:00",
            "rrn": "123456789012",
            "issuer": "Bank Contoh",
            "something_new": [1, 2, 3],
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = dynamic();
        body[field] = value;
        body
    }

    fn without(field: &str) -> Value {
        let mut body = dynamic();
        body.as_object_mut().unwrap().remove(field);
        body
    }

    fn parse(body: &Value) -> Result<Callback, CallbackError> {
        Callback::parse(body.to_string().as_bytes())
    }

    /// The fields that an answer names.
    fn refused(body: &Value) -> Vec<String> {
        match parse(body) {
            Err(CallbackError::Invalid(fields)) => {
                fields.into_iter().map(|error| error.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_success_on_a_dynamic_code_is_read() {
        let callback = parse(&dynamic()).unwrap();
        assert_eq!(callback.event_id, "e-1");
        assert!(matches!(
            callback.target,
            CallbackTarget::Transaction { nmid: None, .. }
        ));
        assert_eq!(callback.amount, Rupiah::from_i64(50_000));
        assert_eq!(callback.status, CallbackStatus::Success);
        assert_eq!(
            callback.paid_at.unwrap().to_rfc3339(),
            "2026-05-23T10:00:00+00:00"
        );
        assert_eq!(callback.rrn.as_deref(), Some("123456789012"));
    }

    #[test]
    fn a_success_on_a_printed_code_is_read() {
        let mut body = without("transaction_id");
        body["nmid"] = json!("ID1020021181745");
        let callback = parse(&body).unwrap();
        assert!(matches!(
            &callback.target,
            CallbackTarget::Static {
                terminal_label: None,
                ..
            }
        ));
        body["terminal_label"] = json!("T01");
        let callback = parse(&body).unwrap();
        let CallbackTarget::Static {
            terminal_label: Some(label),
            ..
        } = callback.target
        else {
            panic!()
        };
        assert_eq!(label.as_str(), "T01");
    }

    #[test]
    fn only_a_success_must_say_when_it_was_paid() {
        let mut body = without("paid_at");
        assert_eq!(refused(&body), ["paid_at"]);
        for status in ["failed", "expired", "reversed"] {
            body["status"] = json!(status);
            assert_eq!(parse(&body).unwrap().paid_at, None);
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (text, amount) in [
            ("50000", 50_000),
            ("\"50000\"", 50_000),
            ("50000.00", 50_000),
            ("\"50000.00\"", 50_000),
        ] {
            let body = dynamic()
                .to_string()
                .replace("\"amount\":50000", &format!("\"amount\":{text}"));
            assert_eq!(
                Callback::parse(body.as_bytes()).unwrap().amount,
                Rupiah::from_i64(amount),
                "{text}"
            );
        }
        // The last would be 50000 exactly after a passage through a 64-bit float.
        for text in [
            "0",
            "-1",
            "0.5",
            "50000.01",
            "\"\"",
            "\"five\"",
            "true",
            "[]",
            "1e400",
            "\"50.000\"",
            "\"50,000\"",
            "\" 50000\"",
            "\"5e4\"",
            "\"+5\"",
            "50000.000000000000000001",
        ] {
            let body = dynamic()
                .to_string()
                .replace("\"amount\":50000", &format!("\"amount\":{text}"));
            let verdict = Callback::parse(body.as_bytes());
            assert!(
                matches!(verdict, Err(CallbackError::Amount(_))),
                "{text}: {verdict:?}"
            );
        }
        assert_eq!(refused(&without("amount")), ["amount"]);
        assert_eq!(refused(&with("amount", Value::Null)), ["amount"]);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let body = json!({"amount": 0, "currency": "USD", "status": "paid", "event_id": 7, "nmid": "ID1", "rrn": ""});
        assert_eq!(
            refused(&body),
            [
                "event_id",
                "nmid",
                "partner_reference",
                "currency",
                "status",
                "rrn",
                "amount"
            ]
        );
        assert_eq!(refused(&without("transaction_id")), ["transaction_id"]);
        assert_eq!(
            refused(&with("transaction_id", json!("tx_1"))),
            ["transaction_id"]
        );
        assert_eq!(
            refused(&with("partner_reference", json!("x".repeat(129)))),
            ["partner_reference"]
        );
        assert_eq!(refused(&with("issuer", json!("a\nb"))), ["issuer"]);
        assert_eq!(refused(&with("paid_at", json!("yesterday"))), ["paid_at"]);
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_is_no_object_has_the_wrong_shape() {
        for body in ["", "{", "{}{}", "\u{feff}{}"] {
            assert_eq!(
                Callback::parse(body.as_bytes()),
                Err(CallbackError::Malformed),
                "{body}"
            );
        }
        assert_eq!(
            Callback::parse(&[0xFF, 0xFE]),
            Err(CallbackError::Malformed)
        );
        for body in ["null", "[]", " [\"e\"]", "7", "{\"amount\":1,\"amount\":2}"] {
            match Callback::parse(body.as_bytes()) {
                Err(CallbackError::Invalid(fields)) => {
                    assert_eq!(fields[0].field, "body", "{body}")
                }
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "\\PC{0,100}") {
            let _ = Callback::parse(&bytes);
            let _ = parse(&with("partner_reference", json!(text)));
        }
    }
}
