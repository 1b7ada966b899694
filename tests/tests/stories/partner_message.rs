//! Verified messages of partners: fields that decide are strict, and no other field refuses a message.

use platform::config::NotifySignature::{Asymmetric, Symmetric};
use tests::prelude::*;
use tests::snap::{self, NOTIFY, code, notification};

use crate::view::{incidents, open_alert, state, transaction};

/// Values of every kind for a field that does not decide.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!("  "),
        json!([]),
        json!({}),
        json!(["BCA"]),
        json!(false),
        json!(17),
        json!("x".repeat(200)),
        json!("Bank\u{0}Contoh\n"),
    ]
}

#[tokio::test]
async fn what_does_not_decide_never_keeps_a_payment_from_being_heard() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let mut fields = vec!["event_id", "rrn", "issuer", "terminal_label", "paid_at"];
    fields.extend(["terminal_id", "mpan", "nmid", "something_new"]);
    for field in fields {
        let values = odd_values();
        // Each field with every value, each in a message of its own: all payments are announced.
        for value in &values {
            let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
            let mut body = success(id, 10_000, &reference(), world.clock.now());
            body[field] = value.clone();
            let answer = world.acquirer().send(&body).await;
            assert_eq!(answer.status, 200, "{field} {value}: {answer}");
            assert_eq!(soundbox.play().await.transaction_id, id, "{field} {value}");
        }
    }
    assert_eq!(incidents(&world).await, Vec::<String>::new());
    let cut = "payments WHERE issuer LIKE '%…' AND length(issuer) < 130";
    assert!(world.rows(cut).await > 0);
    let metrics = world.metrics().await;
    for line in [
        "callback_fields_adjusted_total{field=\"issuer\",change=\"cut\"}",
        "callback_fields_adjusted_total{field=\"rrn\",change=\"dropped\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn numbers_are_texts_and_texts_are_trimmed() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    let body = json!({
        "transaction_id": format!(" {id} "), "partner_reference": 2_020_102_977_u64, "amount": "10000.00",
        "currency": " idr", "status": "Success", "rrn": 123_456_789_012_u64, "issuer": " BCA ",
        "paid_at": (world.clock.now() + chrono::TimeDelta::hours(7)).format("%Y-%m-%d %H:%M:%S").to_string(),
    });
    let _ = world.acquirer().send(&body).await.expect(200);
    assert_eq!(soundbox.play().await.transaction_id, id);
    let paid = transaction(&world, id).await;
    assert_fields!(paid, { "partner_reference": "2020102977", "rrn": "123456789012", "issuer": "BCA" });
    // A time without a zone is read as WIB: it is not far off.
    assert_eq!(incidents(&world).await, Vec::<String>::new());
    let again = but_reference(body, "2020102977");
    assert_eq!(world.acquirer().verdict(&again).await, "duplicate");
}

fn but_reference(mut body: Value, reference: &str) -> Value {
    body["partner_reference"] = json!(reference);
    body
}

#[tokio::test]
async fn what_does_not_decide_never_refuses_a_snap_notification() {
    let (world, partner) = snap::world(Asymmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let mut places: Vec<String> = ["rrn", "issuer", "paidTime", "nmid", "terminalLabel", "tips"]
        .iter()
        .map(|name| format!("/additionalInfo/{name}"))
        .collect();
    places.extend(["/additionalInfo", "/paidTime", "/externalStoreId"].map(str::to_owned));
    for place in &places {
        for value in odd_values() {
            let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
            let mut body = notification(id, 10_000, &reference(), "00");
            let (parent, name) = place.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[name] = value.clone();
            partner.send_ok(&body).await;
            assert_eq!(soundbox.play().await.transaction_id, id, "{place} {value}");
        }
    }
    let id = soundbox.credentials.qr(&world, 10_000).await.transaction_id;
    let mut body = notification(id, 10_000, "0", "00");
    body["originalReferenceNo"] = json!(2_020_102_977_u64);
    body["amount"] = json!({ "value": 10_000, "currency": "idr" });
    let local = world.clock.now() + chrono::TimeDelta::hours(7);
    body["paidTime"] = json!(local.format("%Y-%m-%dT%H:%M:%S").to_string());
    partner.send_ok(&body).await;
    assert_eq!(state(&world, id).await, ("paid".to_owned(), false));
    assert_eq!(incidents(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_verified_and_refused_is_kept_listed_and_alerted() {
    let (world, partner) = snap::world(Symmetric).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let id = credentials.qr(&world, 50_000).await.transaction_id;
    let body = |pointer: &str, value: Value| {
        let mut body = notification(id, 50_000, "ref-1", "00");
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, answer) in [
        (body("/amount/value", json!("49999.00")), "4095200"),
        (body("/amount/value", json!("lots")), "4005201"),
        (body("/amount/currency", json!("USD")), "4005201"),
        (body("/originalReferenceNo", json!(null)), "4005202"),
    ] {
        assert_eq!(partner.send(&body).await, answer, "{body}");
    }
    let expected = [
        "unreadable_message",
        "unreadable_message",
        "unreadable_message",
        "amount_mismatch",
    ];
    assert_eq!(incidents(&world).await, expected);
    let alert = open_alert(&world, "incident").await;
    assert_eq!(alert["subject"], "partner:bank");
    let alert = open_alert(&world, "rejected_callback").await;
    assert_eq!(alert["subject"], "partner:bank");
    let kept = "callbacks c JOIN callback_bodies b ON b.callback_id = c.id
                WHERE c.partner_id = 'bank' AND c.reason IS NOT NULL AND octet_length(b.body) > 100";
    assert_eq!(world.rows(kept).await, 4);
    assert_eq!(state(&world, id).await.0, "awaiting_payment");

    // A missing header is not a part of the message: the standard's answer, and an incident as well.
    let token = partner.token().await;
    let good = notification(id, 50_000, "ref-1", "00").to_string();
    let request = partner.sign(NOTIFY, good.as_bytes(), &token, world.clock.now());
    let nameless = request.clone().without("x-external-id");
    assert_eq!(code(&partner.post(&nameless).await), "4005202");
    assert_eq!(incidents(&world).await.len(), 5);
    assert_eq!(code(&partner.post(&request).await), "2005200");
}
