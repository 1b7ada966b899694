//! What a QRIS partner tells us, in the body of profile `hmac`: read from bytes whose signature was checked.
//!
//! The body is taken apart once, here, into types that cannot hold nonsense. Of what decides (order or payee, reference,
//! amount, currency, status) every field that breaks a rule is named in one answer; everything else never refuses a
//! message ([`crate::partner_message`]). Unknown fields are left alone: partners add some.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::ids::TransactionId;
use wire::rupiah::{AmountError, Rupiah};

use crate::partner_message::{Adjustment, Lenient, Object, deciding};
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

/// What a message says of the printed code that was paid. All of it is a claim: it may name nothing that we know.
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
}

impl PrintedCode {
    /// Reads what there is of these fields.
    pub(crate) fn read(
        lenient: &mut Lenient,
        nmid: Option<&RawValue>,
        merchant_pan: Option<&RawValue>,
        terminal_label: Option<&RawValue>,
        terminal_id: Option<&RawValue>,
    ) -> Self {
        let nmid = lenient.text("nmid", nmid);
        Self {
            nmid: nmid.map(|nmid| nmid.to_ascii_uppercase()),
            merchant_pan: lenient.text("mpan", merchant_pan),
            terminal_label: lenient.text("terminal_label", terminal_label),
            terminal_id: lenient.text("terminal_id", terminal_id),
        }
    }

    /// Whether it says nothing at all.
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

/// How much a message says was paid.
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
    /// How much.
    pub amount: PaidAmount,
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

/// The fields that decide: none of them may be there twice.
const DECIDING: [&str; 6] = [
    "transaction_id",
    "nmid",
    "partner_reference",
    "amount",
    "currency",
    "status",
];

impl Callback {
    /// Reads a body.
    ///
    /// # Errors
    /// [`CallbackError::Malformed`] when it is no JSON; [`CallbackError::Invalid`] when it is no object, has a field
    /// that decides twice, or with every such field that is missing or wrong; [`CallbackError::Amount`] when the amount
    /// alone is.
    pub fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        let body: Object<'_> = read_object(body)?;
        let mut fields = Fields::default();
        if let Some(field) = body.repeated(&DECIDING) {
            fields.refuse("body", format!("{field} is there twice"));
            return Err(CallbackError::Invalid(fields.errors));
        }
        let mut lenient = Lenient::default();
        let target = target(&body, &mut fields, &mut lenient);
        let partner_reference =
            fields.deciding("partner_reference", body.get("partner_reference"), |text| {
                Ok(text.to_owned())
            });
        let currency = fields.deciding("currency", body.get("currency"), currency);
        let status = fields.deciding("status", body.get("status"), |text| {
            text.to_ascii_lowercase()
                .parse::<CallbackStatus>()
                .map_err(|error| error.to_string())
        });
        let amount = match body.get("amount") {
            Some(raw) if raw.get() != "null" => Some(PaidAmount::read(raw)),
            _ => {
                fields.refuse("amount", "is required");
                None
            }
        };
        match (
            target,
            partner_reference,
            currency,
            status,
            amount,
            fields.errors.is_empty(),
        ) {
            (Some(target), Some(partner_reference), Some(()), Some(status), Some(amount), true) => {
                let amount = amount.map_err(CallbackError::Amount)?;
                let event_id = lenient
                    .text("event_id", body.get("event_id"))
                    .unwrap_or_else(|| format!("{partner_reference}:{status}"));
                let paid_at = lenient.time("paid_at", body.get("paid_at"));
                let rrn = lenient.text("rrn", body.get("rrn"));
                let issuer = lenient.text("issuer", body.get("issuer"));
                Ok(Self {
                    event_id,
                    target,
                    partner_reference,
                    amount,
                    status,
                    paid_at,
                    rrn,
                    issuer,
                    adjustments: lenient.into_adjustments(),
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

/// The order, or the printed code when there is no order that is ours.
fn target(body: &Object<'_>, fields: &mut Fields, lenient: &mut Lenient) -> Option<CallbackTarget> {
    let order = deciding(body.get("transaction_id")).and_then(|text| {
        text.map(|text| text.parse::<TransactionId>())
            .transpose()
            .map_err(|error| error.to_string())
    });
    if let Ok(Some(id)) = order {
        // The terminal of an order is known.
        let nmid = PrintedCode::read(lenient, body.get("nmid"), None, None, None);
        if nmid.nmid.is_some() && nmid.nmid().is_none() {
            lenient.drop_field("nmid");
        }
        let nmid = nmid.nmid();
        return Some(CallbackTarget::Transaction { id, nmid });
    }
    let code = PrintedCode::read(
        lenient,
        body.get("nmid"),
        body.first_of(&["mpan", "merchant_pan"]),
        body.get("terminal_label"),
        body.get("terminal_id"),
    );
    if !code.is_empty() {
        return Some(CallbackTarget::Static(code));
    }
    let message = order
        .err()
        .unwrap_or_else(|| "a transaction_id or an nmid is required".to_owned());
    fields.refuse("transaction_id", message);
    None
}

/// The one currency that there is.
pub(crate) fn currency(text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case("IDR") {
        Ok(())
    } else {
        Err("the currency is IDR".to_owned())
    }
}

/// Takes the object apart. An array would do for serde, field by field in order; it will not do here. A byte order mark
/// in front of it is skipped: some senders write one (RFC 8259, section 8.1, lets readers ignore it).
pub(crate) fn read_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CallbackError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
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
        assert_eq!(callback.amount, Rupiah::from_i64(50_000).into());
        assert_eq!(callback.status, CallbackStatus::Success);
        assert_eq!(
            callback.paid_at.unwrap().to_rfc3339(),
            "2026-05-23T10:00:00+00:00"
        );
        assert_eq!(callback.rrn.as_deref(), Some("123456789012"));
        assert_eq!(callback.adjustments, []);
    }

    #[test]
    fn a_success_on_a_printed_code_is_read() {
        let mut body = without("transaction_id");
        body["nmid"] = json!(" id1020021181745 ");
        let printed = |body: &Value| match parse(body).unwrap().target {
            CallbackTarget::Static(code) => code,
            order => panic!("{order:?}"),
        };
        let code = printed(&body);
        assert_eq!(code.nmid().unwrap().as_str(), "ID1020021181745");
        assert_eq!(code.terminal_label, None);
        body["terminal_label"] = json!("T01 ");
        assert_eq!(printed(&body).terminal_label().unwrap().as_str(), "T01");
        // What cannot be a label is kept for people to read, and names no terminal.
        body["terminal_label"] = json!("x".repeat(30));
        let code = printed(&body);
        assert_eq!(code.terminal_label(), None);
        assert_eq!(code.terminal_label.unwrap().len(), 30);
        // Neither order nor NMID need to be of their form, or there, when something else names the merchant.
        body["transaction_id"] = json!("INV-7");
        body["nmid"] = json!("");
        body["mpan"] = json!(936_000_140_000_000_001_u64);
        assert!(printed(&body).merchant_pan().is_some());
    }

    /// Every field that does not decide, with every value that it can have: none refuses the message, and each that is
    /// not used is listed.
    #[test]
    fn what_does_not_decide_never_refuses() {
        let odd = [
            Value::Null,
            json!(""),
            json!("   "),
            json!([]),
            json!({}),
            json!([1, 2]),
            json!({ "a": 1 }),
            json!(true),
            json!(17),
            json!(-1.5),
            json!("é".repeat(200)),
            json!("a\u{0}b\nc"),
            json!("17"),
        ];
        let fields = [
            "event_id",
            "paid_at",
            "rrn",
            "issuer",
            "terminal_label",
            "terminal_id",
            "mpan",
            "nmid",
        ];
        for field in fields {
            for value in &odd {
                let read = parse(&with(field, value.clone()));
                let callback = read.unwrap_or_else(|error| panic!("{field} {value}: {error}"));
                assert!(matches!(
                    callback.target,
                    CallbackTarget::Transaction { nmid: None, .. }
                ));
                assert_eq!(callback.partner_reference, "ref-1");
            }
            assert!(parse(&without(field)).is_ok(), "{field}");
        }
        let changes = |field: &str, value: Value| -> Vec<(&str, &str)> {
            let adjustments = parse(&with(field, value)).unwrap().adjustments;
            adjustments
                .iter()
                .map(|one| (one.field, one.change.as_str()))
                .collect()
        };
        assert_eq!(
            changes("issuer", json!("x".repeat(200))),
            [("issuer", "cut")]
        );
        assert_eq!(changes("issuer", json!(["BCA"])), [("issuer", "dropped")]);
        assert_eq!(
            changes("paid_at", json!("yesterday")),
            [("paid_at", "dropped")]
        );
        assert_eq!(changes("nmid", json!("ID1")), [("nmid", "dropped")]);
        assert_eq!(changes("rrn", json!("")), []);
    }

    #[test]
    fn what_is_left_out_is_made_of_what_decides() {
        let body = without("event_id");
        assert_eq!(parse(&body).unwrap().event_id, "ref-1:success");
        assert_eq!(parse(&without("paid_at")).unwrap().paid_at, None);
    }

    #[test]
    fn what_decides_may_be_number_or_text_in_any_case_and_with_white_space() {
        let mut body = dynamic();
        body["partner_reference"] = json!(2_020_102_977);
        body["currency"] = json!(" idr");
        body["status"] = json!("SUCCESS ");
        body["transaction_id"] = json!(" tx_01890a5d3f2c7b3e8f00112233445566 ");
        let callback = parse(&body).unwrap();
        assert_eq!(callback.partner_reference, "2020102977");
        assert_eq!(callback.status, CallbackStatus::Success);
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
                Rupiah::from_i64(amount).into(),
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
            "\"50.000\"",
            "\"50,000\"",
            "\" 50000\"",
            "\"5e4\"",
            "\"+5\"",
            "-99999999999999999999",
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
    fn an_amount_that_cannot_be_counted_is_still_an_amount() {
        for text in [
            "9223372036854775808",
            "1e21",
            "1e400",
            "100000000000000000000",
            "\"9223372036854775808.00\"",
        ] {
            let body = dynamic()
                .to_string()
                .replace("\"amount\":50000", &format!("\"amount\":{text}"));
            let amount = Callback::parse(body.as_bytes()).unwrap().amount;
            assert_eq!(
                amount,
                PaidAmount::OutOfRange(text.trim_matches('"').to_owned())
            );
            assert_eq!(amount.rupiah(), None);
        }
    }

    #[test]
    fn every_wrong_field_that_decides_is_named_at_once() {
        let body = json!({"amount": 0, "currency": "USD", "status": "paid", "event_id": 7, "nmid": "ID1", "rrn": ""});
        assert_eq!(
            refused(&body),
            ["partner_reference", "currency", "status", "amount"]
        );
        assert_eq!(refused(&without("transaction_id")), ["transaction_id"]);
        assert_eq!(
            refused(&with("transaction_id", json!("tx_1"))),
            ["transaction_id"]
        );
        for wrong in [
            json!("x".repeat(129)),
            json!("a\nb"),
            json!(""),
            json!(true),
            Value::Null,
        ] {
            assert_eq!(
                refused(&with("partner_reference", wrong)),
                ["partner_reference"]
            );
        }
        for wrong in [json!(""), Value::Null, json!("USD"), json!(["IDR"])] {
            assert_eq!(refused(&with("currency", wrong)), ["currency"]);
        }
        for wrong in [json!(""), Value::Null, json!("maybe"), json!(1)] {
            assert_eq!(refused(&with("status", wrong)), ["status"]);
        }
    }

    #[test]
    fn a_byte_order_mark_and_white_space_are_skipped() {
        let body = format!("\u{feff} \r\n{}", dynamic());
        let plain = dynamic().to_string();
        assert_eq!(
            Callback::parse(body.as_bytes()),
            Callback::parse(plain.as_bytes())
        );
        assert!(Callback::parse(body.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_is_no_object_has_the_wrong_shape() {
        for body in ["", "{", "{}{}", "\u{feff}"] {
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
