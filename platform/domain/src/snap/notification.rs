//! `qr-mpm-notify` and the answer of `qr-mpm-query`: what a partner says of one payment.
//!
//! Both have the same fields. `originalPartnerReferenceNo` is the id of our transaction, which the partner got with
//! qr-mpm-generate; a payment on a printed code has none, or one of the partner's own, and is attributed by
//! `additionalInfo.nmid` and `additionalInfo.terminalLabel`. `originalReferenceNo` is the partner's name for the money.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use wire::ids::TransactionId;
use wire::rupiah::Rupiah;

use super::money::Money;
use crate::callback::{Callback, CallbackStatus, CallbackTarget, bounded};
use crate::qris::{Nmid, TerminalLabel};

/// The longest status code; the standard has two digits, partners may not.
const STATUS_LEN_MAX: usize = 16;

/// What a partner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which payment, if it says.
    pub target: Option<CallbackTarget>,
    /// The partner's name for the money.
    pub partner_reference: Option<String>,
    /// How much, exactly.
    pub amount: Option<Rupiah>,
    /// `latestTransactionStatus` as it stands.
    pub status_code: String,
    /// When the customer paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// Retrieval reference number of the switch.
    pub rrn: Option<String>,
    /// Who issued the customer's account.
    pub issuer: Option<String>,
}

/// Why a body is not a notification: the first thing that is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotificationError {
    /// Not JSON, or no object, or a field twice.
    #[error("not a JSON object")]
    Malformed,
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that is not of its form.
    #[error("{0} is not of its form")]
    Format(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    original_reference_no: Option<Value>,
    #[serde(default)]
    original_partner_reference_no: Option<Value>,
    #[serde(default)]
    latest_transaction_status: Option<Value>,
    #[serde(default)]
    amount: Option<Value>,
    #[serde(default)]
    paid_time: Option<Value>,
    #[serde(default)]
    additional_info: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdditionalInfo {
    #[serde(default)]
    nmid: Option<Value>,
    #[serde(default)]
    terminal_label: Option<Value>,
    #[serde(default)]
    rrn: Option<Value>,
    #[serde(default)]
    issuer: Option<Value>,
    #[serde(default)]
    paid_time: Option<Value>,
}

impl Notification {
    /// Reads a body. Fields of a partner's own are left alone.
    ///
    /// # Errors
    /// [`NotificationError`].
    pub fn parse(body: &[u8]) -> Result<Self, NotificationError> {
        use NotificationError::{Format, Malformed, Missing};

        // An array would do for serde, field by field in order; it will not do here.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Malformed);
        }
        let body: Body = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let status_code = text(body.latest_transaction_status, "latestTransactionStatus")?
            .ok_or(Missing("latestTransactionStatus"))?;
        if status_code.len() > STATUS_LEN_MAX {
            return Err(Format("latestTransactionStatus"));
        }
        let info = match present(body.additional_info) {
            None => AdditionalInfo::default(),
            Some(info @ Value::Object(_)) => {
                serde_json::from_value(info).map_err(|_| Format("additionalInfo"))?
            }
            Some(_) => return Err(Format("additionalInfo")),
        };
        let nmid: Option<Nmid> = text(info.nmid, "additionalInfo.nmid")?
            .map(|text| text.parse().map_err(|_| Format("additionalInfo.nmid")))
            .transpose()?;
        let terminal_label: Option<TerminalLabel> =
            text(info.terminal_label, "additionalInfo.terminalLabel")?
                .map(|text| {
                    text.parse()
                        .map_err(|_| Format("additionalInfo.terminalLabel"))
                })
                .transpose()?;
        let ours = text(
            body.original_partner_reference_no,
            "originalPartnerReferenceNo",
        )?;
        let target = match (ours.as_deref().map(str::parse::<TransactionId>), nmid) {
            (Some(Ok(id)), nmid) => Some(CallbackTarget::Transaction { id, nmid }),
            (_, Some(nmid)) => Some(CallbackTarget::Static {
                nmid,
                terminal_label,
            }),
            (Some(Err(_)), None) => return Err(Format("originalPartnerReferenceNo")),
            (None, None) => None,
        };
        let amount = present(body.amount)
            .map(|amount| {
                let money: Money = serde_json::from_value(amount).map_err(|_| Format("amount"))?;
                money.rupiah().map_err(|_| Format("amount.value"))
            })
            .transpose()?;
        let paid_at = match text(body.paid_time, "paidTime")? {
            Some(paid) => Some(time(&paid, "paidTime")?),
            None => text(info.paid_time, "additionalInfo.paidTime")?
                .map(|paid| time(&paid, "additionalInfo.paidTime"))
                .transpose()?,
        };
        Ok(Self {
            target,
            partner_reference: text(body.original_reference_no, "originalReferenceNo")?,
            amount,
            status_code,
            paid_at,
            rrn: text(info.rrn, "additionalInfo.rrn")?,
            issuer: text(info.issuer, "additionalInfo.issuer")?,
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
            amount: self.amount.ok_or(Missing("amount"))?,
            status,
            paid_at: self.paid_at,
            rrn: self.rrn.clone(),
            issuer: self.issuer.clone(),
        })
    }
}

fn present(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !value.is_null())
}

/// Text, if there is any: SNAP's partners send empty strings for what they do not know.
fn text(value: Option<Value>, field: &'static str) -> Result<Option<String>, NotificationError> {
    match present(value) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => bounded(&text)
            .map(Some)
            .map_err(|_| NotificationError::Format(field)),
        Some(_) => Err(NotificationError::Format(field)),
    }
}

fn time(text: &str, field: &'static str) -> Result<DateTime<Utc>, NotificationError> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| NotificationError::Format(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(callback.amount, Rupiah::from_i64(50_000));
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
            let Some(CallbackTarget::Static {
                nmid,
                terminal_label: Some(label),
            }) = read.target
            else {
                panic!("{:?}", read.target)
            };
            assert_eq!((nmid.as_str(), label.as_str()), ("ID1020021181745", "T01"));
        }
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
                json!(0),
                Format("latestTransactionStatus"),
            ),
            (
                "/latestTransactionStatus",
                json!("00000000000000000"),
                Format("latestTransactionStatus"),
            ),
            ("/amount", json!("50000.00"), Format("amount")),
            ("/amount/value", json!([]), Format("amount")),
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
            ("/additionalInfo", json!([]), Format("additionalInfo")),
            (
                "/additionalInfo/rrn",
                json!(1),
                Format("additionalInfo.rrn"),
            ),
            (
                "/additionalInfo/paidTime",
                json!("today"),
                Format("additionalInfo.paidTime"),
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
