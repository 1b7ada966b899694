//! `qr-mpm-notify` and the answer of `qr-mpm-query`: a partner's message about one payment.
//!
//! Both have the same fields. `originalPartnerReferenceNo` is the id of our transaction, which the partner got with
//! qr-mpm-generate; a payment on a printed code has none, or one of the partner's own, and is attributed by
//! `additionalInfo.nmid` and `additionalInfo.terminalLabel`, or the other names of [`PrintedCode`]. `originalReferenceNo` is the partner's name for the money.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use wire::ids::TransactionId;

use crate::callback::{
    Callback, CallbackStatus, CallbackTarget, PaidAmount, PrintedCode, RawCode, currency,
};
use crate::partner_message::{Adjustment, Lenient, Object, deciding};

/// A partner's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which payment, if it is named.
    pub target: Option<CallbackTarget>,
    /// The partner's name for the money.
    pub partner_reference: Option<String>,
    /// How much.
    pub amount: Option<PaidAmount>,
    /// `latestTransactionStatus`, unchanged.
    pub status_code: String,
    /// When the customer paid, by the partner's clock.
    pub paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
    /// What of the message was cut or dropped.
    pub adjustments: Vec<Adjustment>,
}

/// Why a body is not a notification: the first thing that is wrong with what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotificationError {
    /// Not JSON, or no object, or a field that decides twice.
    #[error("not a JSON object")]
    Malformed,
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that is not of its form.
    #[error("{0} is not of its form")]
    Format(&'static str),
}

/// The fields that decide: none of them may be there twice.
const DECIDING: [&str; 4] = [
    "originalReferenceNo",
    "originalPartnerReferenceNo",
    "latestTransactionStatus",
    "amount",
];

impl Notification {
    /// Reads a body. Fields of a partner's own are left alone, and what does not decide never refuses it
    /// ([`crate::partner_message`]).
    ///
    /// # Errors
    /// [`NotificationError`].
    pub fn parse(body: &[u8]) -> Result<Self, NotificationError> {
        use NotificationError::{Format, Malformed, Missing};

        let body: Object<'_> = serde_json::from_slice(body).map_err(|_| Malformed)?;
        if body.repeated(&DECIDING).is_some() {
            return Err(Malformed);
        }
        let mut lenient = Lenient::default();
        let status_code = lenient
            .text("status", body.get("latestTransactionStatus"))
            .ok_or(Missing("latestTransactionStatus"))?;
        let info = lenient.object("additional_info", body.get("additionalInfo"));
        let target = target(&body, &info, &mut lenient)?;
        let partner_reference =
            deciding(body.get("originalReferenceNo")).map_err(|_| Format("originalReferenceNo"))?;
        let amount = body.get("amount").map(amount).transpose()?.flatten();
        let paid_at = ["paidTime", "transactionDate"]
            .iter()
            .filter_map(|name| body.first_of(&[name]))
            .chain(info.first_of(&["paidTime"]))
            .find_map(|raw| lenient.time("paid_at", Some(raw)));
        Ok(Self {
            target,
            partner_reference,
            amount,
            status_code,
            paid_at,
            rrn: lenient.text("rrn", info.get("rrn")),
            issuer: lenient.text("issuer", info.get("issuer")),
            adjustments: lenient.into_adjustments(),
        })
    }

    /// This notification as the callback that it is, when its code means `status`. `event_id` is its X-EXTERNAL-ID.
    ///
    /// # Errors
    /// [`NotificationError::Missing`] for what every callback needs.
    pub fn callback(
        &self,
        event_id: &str,
        status: CallbackStatus,
    ) -> Result<Callback, NotificationError> {
        use NotificationError::Missing;

        Ok(Callback {
            event_id: event_id.to_owned(),
            target: self
                .target
                .clone()
                .ok_or(Missing("originalPartnerReferenceNo"))?,
            partner_reference: self
                .partner_reference
                .clone()
                .ok_or(Missing("originalReferenceNo"))?,
            amount: self.amount.clone().ok_or(Missing("amount"))?,
            status,
            paid_at: self.paid_at,
            rrn: self.rrn.clone(),
            issuer: self.issuer.clone(),
            adjustments: self.adjustments.clone(),
        })
    }
}

/// The order, or the printed code when there is no order that is ours.
fn target(
    body: &Object<'_>,
    info: &Object<'_>,
    lenient: &mut Lenient,
) -> Result<Option<CallbackTarget>, NotificationError> {
    let field = "originalPartnerReferenceNo";
    let order =
        deciding(body.get(field)).map(|text| text.map(|text| text.parse::<TransactionId>()));
    let inside_or_beside = |names: &[&str]| info.first_of(names).or_else(|| body.first_of(names));
    let code = RawCode {
        nmid: inside_or_beside(&["nmid"]),
        merchant_pan: info.first_of(&["mpan", "merchantPan"]),
        terminal_label: inside_or_beside(&["terminalLabel"]),
        terminal_id: inside_or_beside(&["terminalId"]),
        merchant_id: inside_or_beside(&["merchantId"]),
        store_id: inside_or_beside(&["storeId", "externalStoreId"]),
    };
    let code = PrintedCode::read(lenient, code);
    match order {
        Ok(Some(Ok(id))) => {
            let nmid = code.nmid();
            if nmid.is_none() && code.nmid.is_some() {
                lenient.drop_field("nmid");
            }
            Ok(Some(CallbackTarget::Transaction { id, nmid }))
        }
        _ if !code.is_empty() => Ok(Some(CallbackTarget::Static(code))),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) | Err(_) => Err(NotificationError::Format(field)),
    }
}

/// `{"value": "10000.00", "currency": "IDR"}`; the value may be a number.
fn amount(raw: &RawValue) -> Result<Option<PaidAmount>, NotificationError> {
    use NotificationError::Format;

    if raw.get() == "null" {
        return Ok(None);
    }
    let money: Object<'_> = serde_json::from_str(raw.get()).map_err(|_| Format("amount"))?;
    if money.repeated(&["value", "currency"]).is_some() {
        return Err(Format("amount"));
    }
    let value = money.get("value").ok_or(Format("amount"))?;
    let amount = PaidAmount::read(value).map_err(|_| Format("amount.value"))?;
    deciding(money.get("currency"))
        .ok()
        .flatten()
        .and_then(|text| currency(&text).ok())
        .ok_or(Format("amount.value"))?;
    Ok(Some(amount))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::Rupiah;

    use super::NotificationError::{Format, Malformed, Missing};
    use super::*;

    const OURS: &str = "tx_01890a5d3f2c7b3e8f00112233445566";

    fn dynamic() -> Value {
        json!({
            "originalReferenceNo": "2020102977770000000009",
            "originalPartnerReferenceNo": OURS,
            "latestTransactionStatus": "00",
            "transactionStatusDesc": "success",
            "amount": {"value": "50000.00", "currency": "IDR"},
            "externalStoreId": "",
            "additionalInfo": {"rrn": "000019001390", "issuer": "BCA", "paidTime": "2024-06-07T10:03:54+07:00", "tips": 7},
        })
    }

    fn with(pointer: &str, value: Value) -> Result<Notification, NotificationError> {
        let mut body = dynamic();
        *body.pointer_mut(pointer).unwrap() = value;
        Notification::parse(body.to_string().as_bytes())
    }

    #[test]
    fn a_payment_of_a_dynamic_code_is_read() {
        let read = Notification::parse(dynamic().to_string().as_bytes()).unwrap();
        let callback = read.callback("77", CallbackStatus::Success).unwrap();
        assert_eq!(callback.event_id, "77");
        assert_eq!(
            callback.target,
            CallbackTarget::Transaction {
                id: OURS.parse().unwrap(),
                nmid: None
            }
        );
        assert_eq!(callback.partner_reference, "2020102977770000000009");
        assert_eq!(callback.amount, Rupiah::from_i64(50_000).into());
        assert_eq!(
            callback.paid_at.unwrap().to_rfc3339(),
            "2024-06-07T03:03:54+00:00"
        );
        assert_eq!(callback.rrn.as_deref(), Some("000019001390"));
        assert_eq!(callback.issuer.as_deref(), Some("BCA"));
    }

    #[test]
    fn a_payment_of_a_printed_code_is_read() {
        for theirs in [json!("INV-7"), json!(""), json!(null)] {
            let mut body = dynamic();
            body["originalPartnerReferenceNo"] = theirs;
            body["additionalInfo"]["nmid"] = json!("ID1020021181745");
            body["additionalInfo"]["terminalLabel"] = json!("T01");
            let read = Notification::parse(body.to_string().as_bytes()).unwrap();
            let Some(CallbackTarget::Static(code)) = read.target else {
                panic!("{:?}", read.target)
            };
            assert_eq!(code.nmid().unwrap().as_str(), "ID1020021181745");
            assert_eq!(code.terminal_label().unwrap().as_str(), "T01");
        }
    }

    /// Every field that does not decide, with every value that it can have.
    #[test]
    fn what_does_not_decide_never_refuses() {
        let odd = [
            json!(null),
            json!(""),
            json!([]),
            json!({}),
            json!([1]),
            json!(true),
            json!(17),
            json!("é".repeat(200)),
            json!("a\u{0}b"),
        ];
        for field in [
            "rrn",
            "issuer",
            "paidTime",
            "nmid",
            "terminalLabel",
            "terminalId",
            "tips",
        ] {
            for value in &odd {
                let mut body = dynamic();
                body["additionalInfo"][field] = value.clone();
                let read = Notification::parse(body.to_string().as_bytes());
                let read = read.unwrap_or_else(|error| panic!("{field} {value}: {error}"));
                let callback = read.callback("1", CallbackStatus::Success).unwrap();
                assert!(matches!(
                    callback.target,
                    CallbackTarget::Transaction { nmid: None, .. }
                ));
            }
        }
        for field in [
            "additionalInfo",
            "paidTime",
            "transactionStatusDesc",
            "externalStoreId",
        ] {
            for value in &odd {
                let mut body = dynamic();
                body[field] = value.clone();
                let read = Notification::parse(body.to_string().as_bytes());
                assert!(read.is_ok(), "{field} {value}: {read:?}");
            }
        }
        let time = |text: &str| {
            with("/additionalInfo/paidTime", json!(text))
                .unwrap()
                .paid_at
        };
        let expected = Some("2024-06-07T03:03:54Z".parse().unwrap());
        assert_eq!(time("2024-06-07T10:03:54"), expected);
        assert_eq!(time("2024-06-07 10:03:54"), expected);
        assert_eq!(time("20240607100354"), expected);
        assert_eq!(time("today"), None);
        // A time at the top that is no time gives way to the one inside.
        let mut body = dynamic();
        body["paidTime"] = json!("-");
        let read = Notification::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(read.paid_at, expected);
        assert_eq!(read.adjustments.len(), 1);
    }

    #[test]
    fn numbers_and_texts_are_alike() {
        let read = with("/amount/value", json!(50_000)).unwrap();
        assert_eq!(read.amount, Some(Rupiah::from_i64(50_000).into()));
        let read = with("/originalReferenceNo", json!(2_020_102_977)).unwrap();
        assert_eq!(read.partner_reference.as_deref(), Some("2020102977"));
        let read = with("/additionalInfo/rrn", json!(19_001_390)).unwrap();
        assert_eq!(read.rrn.as_deref(), Some("19001390"));
        // A code that no table maps: held, and queried.
        assert_eq!(
            with("/latestTransactionStatus", json!(0))
                .unwrap()
                .status_code,
            "0"
        );
        let read = with("/amount/value", json!("9223372036854775808.00")).unwrap();
        assert!(matches!(read.amount, Some(PaidAmount::OutOfRange(_))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pointer, value, error) in [
            (
                "/latestTransactionStatus",
                json!(null),
                Missing("latestTransactionStatus"),
            ),
            (
                "/latestTransactionStatus",
                json!(" "),
                Missing("latestTransactionStatus"),
            ),
            ("/amount", json!("50000.00"), Format("amount")),
            ("/amount/value", json!([]), Format("amount.value")),
            ("/amount/value", json!(0), Format("amount.value")),
            ("/amount/value", json!(true), Format("amount.value")),
            ("/amount/value", json!("50000.01"), Format("amount.value")),
            ("/amount/value", json!("50.000"), Format("amount.value")),
            ("/amount/value", json!(0.5), Format("amount.value")),
            ("/amount/currency", json!("USD"), Format("amount.value")),
            (
                "/originalPartnerReferenceNo",
                json!("INV-7"),
                Format("originalPartnerReferenceNo"),
            ),
            (
                "/originalReferenceNo",
                json!("a\nb"),
                Format("originalReferenceNo"),
            ),
        ] {
            assert_eq!(
                with(pointer, value.clone()),
                Err(error),
                "{pointer} {value}"
            );
        }
        for text in [
            "",
            "[]",
            "nonsense",
            "{\"amount\": 1 2}",
            "{\"amount\":null,\"amount\":null}",
        ] {
            assert_eq!(
                Notification::parse(text.as_bytes()),
                Err(Malformed),
                "{text}"
            );
        }
        for (pointer, field) in [
            ("/originalReferenceNo", "originalReferenceNo"),
            ("/originalPartnerReferenceNo", "originalPartnerReferenceNo"),
            ("/amount", "amount"),
        ] {
            let read = with(pointer, Value::Null).unwrap();
            assert_eq!(
                read.callback("1", CallbackStatus::Success),
                Err(Missing(field))
            );
        }
    }
}
