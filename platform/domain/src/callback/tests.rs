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

/// Reads a body of the dialect `hmac`.
fn read(body: &[u8]) -> Result<Callback, CallbackError> {
    let dialect = crate::dialect::built_in("hmac").unwrap().unwrap();
    let message = dialect.read(body)?;
    Ok(message.callback(None, message.happened().unwrap())?)
}

fn parse(body: &Value) -> Result<Callback, CallbackError> {
    read(body.to_string().as_bytes())
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
            read(body.as_bytes()).unwrap().amount,
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
        let verdict = read(body.as_bytes());
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
        let amount = read(body.as_bytes()).unwrap().amount;
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
    assert_eq!(read(body.as_bytes()), read(plain.as_bytes()));
    assert!(read(body.as_bytes()).is_ok());
}

#[test]
fn what_is_no_json_is_malformed_and_what_is_no_object_has_the_wrong_shape() {
    for body in ["", "{", "{}{}", "\u{feff}"] {
        assert_eq!(
            read(body.as_bytes()),
            Err(CallbackError::Malformed),
            "{body}"
        );
    }
    assert_eq!(read(&[0xFF, 0xFE]), Err(CallbackError::Malformed));
    for body in ["null", "[]", " [\"e\"]", "7", "{\"amount\":1,\"amount\":2}"] {
        match read(body.as_bytes()) {
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
        let _ = read(&bytes);
        let _ = parse(&with("partner_reference", json!(text)));
    }
}
