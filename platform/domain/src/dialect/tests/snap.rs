//! Messages of the dialect `snap`.

use serde_json::{Value, json};
use wire::Rupiah;

use super::super::*;
use crate::callback::{CallbackStatus, CallbackTarget, PaidAmount};

/// What a SNAP partner is told of a message that cannot be read.
#[derive(Debug, PartialEq, Eq)]
enum SnapError {
    Malformed,
    Missing(String),
    Format(String),
}

#[expect(non_snake_case, reason = "written like the variants")]
fn Missing(field: &str) -> SnapError {
    SnapError::Missing(field.to_owned())
}

#[expect(non_snake_case, reason = "written like the variants")]
fn Format(field: &str) -> SnapError {
    SnapError::Format(field.to_owned())
}

/// Reads a body of the dialect `snap`.
fn snap(body: &[u8]) -> Result<Message, SnapError> {
    dialect("snap").read(body).map_err(|error| match error {
        ReadError::Malformed | ReadError::Shape(_) => SnapError::Malformed,
        ReadError::Fields(problems) => match problems[0].kind {
            ProblemKind::Missing => Missing(&problems[0].field),
            ProblemKind::Format | ProblemKind::Amount => Format(&problems[0].field),
        },
    })
}

fn dialect(name: &str) -> std::sync::Arc<Dialect> {
    built_in(name).unwrap().unwrap()
}

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

fn with(pointer: &str, value: Value) -> Result<Message, SnapError> {
    let mut body = dynamic();
    *body.pointer_mut(pointer).unwrap() = value;
    snap(body.to_string().as_bytes())
}

#[test]
fn a_payment_of_a_dynamic_code_is_read() {
    let read = snap(dynamic().to_string().as_bytes()).unwrap();
    let callback = read.callback(Some("77"), CallbackStatus::Success).unwrap();
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
        let read = snap(body.to_string().as_bytes()).unwrap();
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
            let read = snap(body.to_string().as_bytes());
            let read = read.unwrap_or_else(|error| panic!("{field} {value}: {error:?}"));
            let callback = read.callback(Some("1"), CallbackStatus::Success).unwrap();
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
            let read = snap(body.to_string().as_bytes());
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
    let read = snap(body.to_string().as_bytes()).unwrap();
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
        assert_eq!(snap(text.as_bytes()), Err(SnapError::Malformed), "{text}");
    }
    for (pointer, field) in [
        ("/originalReferenceNo", "originalReferenceNo"),
        ("/originalPartnerReferenceNo", "originalPartnerReferenceNo"),
        ("/amount", "amount"),
    ] {
        assert_eq!(with(pointer, Value::Null), Err(Missing(field)));
    }
    // While nothing has happened, nothing needs to be there.
    let mut pending = dynamic();
    pending["latestTransactionStatus"] = json!("03");
    pending["amount"] = Value::Null;
    assert!(snap(pending.to_string().as_bytes()).is_ok());
}
