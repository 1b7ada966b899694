//! Messages of payout partners: what became of a payout.
//!
//! The settlement, the payout, the outcome, the amount and the bank reference decide; a message in which one of them
//! cannot be read is refused. The name of the message and its time do not decide, and never refuse it.

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use wire::ids::{PayoutId, SettlementId};
use wire::rupiah::Rupiah;

use crate::callback::{CallbackError, Fields, amount, read_object};
use crate::dialect::ReadError;
use crate::partner_message::{Adjustment, Lenient, Times, deciding};
use crate::payout::PayoutOutcome;

/// A message in which everything that decides is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutCallback {
    /// The partner's name for this message; made of the SHA-256 of the body when it has none that can be used.
    pub event_id: String,
    /// Which settlement is paid.
    pub settlement_id: SettlementId,
    /// Which payout of it; absent when the partner does not name it.
    pub payout_id: Option<PayoutId>,
    /// What became of it.
    pub outcome: PayoutOutcome,
    /// How much was paid, or was to be.
    pub amount: Rupiah,
    /// The bank's name for the transfer.
    pub bank_reference: Option<String>,
    /// When it happened at the bank, by its clock.
    pub occurred_at: Option<DateTime<Utc>>,
    /// What of the message was cut or dropped.
    pub adjustments: Vec<Adjustment>,
}

/// The fields that decide: none of them may be there twice.
const DECIDING: [&str; 5] = [
    "settlement_id",
    "payout_id",
    "status",
    "amount",
    "bank_reference",
];

impl PayoutCallback {
    /// Reads a body whose signature was checked.
    ///
    /// # Errors
    /// As for a dialect's message: [`ReadError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CallbackError> {
        let body = read_object(bytes)?;
        if let Some(twice) = body.repeated(&DECIDING) {
            return Err(ReadError::Shape(format!("{twice} is there twice")).into());
        }
        let mut fields = Fields::default();
        let settlement_id = fields.deciding("settlement_id", body.get("settlement_id"), |text| {
            text.parse::<SettlementId>()
                .map_err(|error| error.to_string())
        });
        let payout_id = fields.deciding_if_present("payout_id", body.get("payout_id"), |text| {
            text.parse::<PayoutId>().map_err(|error| error.to_string())
        });
        let outcome = fields.deciding("status", body.get("status"), |text| {
            text.to_ascii_lowercase()
                .parse::<PayoutOutcome>()
                .map_err(|error| error.to_string())
        });
        let bank_reference =
            fields.deciding_if_present("bank_reference", body.get("bank_reference"), |text| {
                Ok(text.to_owned())
            });
        let amount = fields.amount(body.get("amount"), amount);
        match (settlement_id, outcome, amount, fields.is_empty()) {
            (Some(settlement_id), Some(outcome), Some(amount), true) => {
                let amount = amount.map_err(CallbackError::Amount)?;
                let mut lenient = Lenient::default();
                Ok(Self {
                    event_id: event_id(&mut lenient, body.get("event_id"), bytes),
                    settlement_id,
                    payout_id,
                    outcome,
                    amount,
                    bank_reference,
                    occurred_at: lenient.time(
                        "occurred_at",
                        body.get("occurred_at"),
                        &Times::usual(),
                    ),
                    adjustments: lenient.into_adjustments(),
                })
            }
            (.., amount, _) => Err(fields.into_error(amount)),
        }
    }
}

/// The name of a message. It is not cut when it is too long: two names with the same beginning are two messages.
fn event_id(lenient: &mut Lenient, raw: Option<&RawValue>, bytes: &[u8]) -> String {
    match deciding(raw) {
        Ok(Some(name)) => return name,
        Ok(None) => {}
        Err(_) => lenient.drop_field("event_id"),
    }
    let hash = digest::digest(&digest::SHA256, bytes);
    format!("sha256:{}", hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::PayoutOutcome::Paid;
    use super::*;
    use crate::partner_message::{Change, TEXT_LEN_MAX};

    fn body() -> Value {
        json!({
            "event_id": "e-1",
            "settlement_id": "set_01890a5d3f2c7b3e8f00112233445566",
            "status": "paid",
            "amount": 148_950,
            "bank_reference": "BCA-77",
            "occurred_at": "2026-05-24T09:00:00+07:00",
            "something_new": {},
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = body();
        body[field] = value;
        body
    }

    fn parse(body: &Value) -> Result<PayoutCallback, CallbackError> {
        PayoutCallback::parse(body.to_string().as_bytes())
    }

    fn complaints(body: &Value) -> Vec<String> {
        match parse(body) {
            Err(CallbackError::Invalid(fields)) => {
                fields.into_iter().map(|wrong| wrong.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_in_order_is_read() {
        let read = parse(&body()).unwrap();
        assert_eq!(read.amount, Rupiah::from_i64(148_950));
        assert_eq!((read.outcome, read.payout_id), (Paid, None));
        assert_eq!(
            read.occurred_at.unwrap().to_rfc3339(),
            "2026-05-24T02:00:00+00:00"
        );
        assert_eq!(read.adjustments, []);
    }

    #[test]
    fn every_wrong_field_that_decides_is_named() {
        for field in ["settlement_id", "status", "amount"] {
            let mut without = body();
            without.as_object_mut().unwrap().remove(field);
            assert_eq!(complaints(&without), [field]);
        }
        let mut wrong = body();
        wrong["status"] = json!("success");
        wrong["payout_id"] = json!("set_1");
        wrong["amount"] = json!(0);
        assert_eq!(complaints(&wrong), ["payout_id", "status", "amount"]);
        for reference in [json!("x".repeat(TEXT_LEN_MAX + 1)), json!(["BCA-77"])] {
            assert_eq!(
                complaints(&with("bank_reference", reference)),
                ["bank_reference"]
            );
        }
        assert!(matches!(
            parse(&with("amount", json!(0.5))),
            Err(CallbackError::Amount(_))
        ));
        assert_eq!(
            PayoutCallback::parse(b"nonsense"),
            Err(CallbackError::Malformed)
        );
        let twice = body()
            .to_string()
            .replacen('{', r#"{"status":"failed","#, 1);
        assert!(PayoutCallback::parse(twice.as_bytes()).is_err());
    }

    #[test]
    fn what_is_written_otherwise_is_the_same() {
        for (field, written) in [
            ("status", json!(" PAID ")),
            ("bank_reference", json!(" BCA-77\n")),
            ("payout_id", json!("")),
            ("amount", json!("148950.00")),
            ("occurred_at", json!("2026-05-24 09:00:00")),
        ] {
            assert_eq!(parse(&with(field, written)), parse(&body()), "{field}");
        }
        let numeric = parse(&with("bank_reference", json!(77))).unwrap();
        assert_eq!(numeric.bank_reference.as_deref(), Some("77"));
        for absent in [Value::Null, json!(""), json!([])] {
            let without = parse(&with("bank_reference", absent)).unwrap();
            assert_eq!(without.bank_reference, None);
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_dropped() {
        for odd in [json!("yesterday"), json!({ "at": 1 }), json!(true)] {
            let read = parse(&with("occurred_at", odd)).unwrap();
            assert_eq!(read.occurred_at, None);
            let change = Change::Dropped;
            let field = "occurred_at";
            assert_eq!(read.adjustments, [Adjustment { field, change }]);
        }
        assert_eq!(
            parse(&with("occurred_at", Value::Null))
                .unwrap()
                .occurred_at,
            None
        );
    }

    #[test]
    fn a_message_without_a_name_is_named_by_its_bytes() {
        let numeric = parse(&with("event_id", json!(12))).unwrap();
        assert_eq!(numeric.event_id, "12");
        let unnamed = with("event_id", Value::Null);
        let name = parse(&unnamed).unwrap().event_id;
        assert!(name.starts_with("sha256:"), "{name}");
        assert_eq!(parse(&unnamed).unwrap().event_id, name, "again");
        let mut other = unnamed;
        other["occurred_at"] = json!("2026-05-24T09:00:01+07:00");
        assert_ne!(parse(&other).unwrap().event_id, name);
        let long = |end: &str| {
            let name = json!(format!("{}{end}", "x".repeat(TEXT_LEN_MAX)));
            parse(&with("event_id", name)).unwrap()
        };
        assert_ne!(long("1").event_id, long("2").event_id);
        assert_eq!(long("1").adjustments.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = PayoutCallback::parse(&bytes);
        }
    }
}
