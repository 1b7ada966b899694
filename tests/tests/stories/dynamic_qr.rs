//! Dynamic codes.

use domain::qris::QrisCode;
use tests::credentials::register_with;
use tests::prelude::*;
use wire::message::{DynamicQrResponse, QrOutcome};
use wire::{Channel, Encoding};

const PATH: &str = "/device/transactions/dynamic-qr";

/// The body of a request for a code.
fn ask(credentials: &Credentials, request_id: &str, amount: Value) -> Value {
    json!({ "device_id": credentials.device_id, "amount": amount, "currency": "IDR", "request_id": request_id })
}

#[tokio::test]
async fn the_code_contains_amount_and_payee() {
    let (world, shop, credentials) = fixture::device().await;
    for amount in [1, 999, 50_000, 10_000_000] {
        let qr = credentials.qr(&world, amount).await;
        let code: QrisCode = qr.payload.parse().expect("it parses, with its CRC");
        assert_eq!(code.to_string(), qr.payload);
        let tag_54 = format!("54{:02}{amount}", amount.to_string().len());
        assert!(qr.payload.contains(&tag_54));
        assert_eq!(code.amount().unwrap().to_string(), amount.to_string());
        assert_eq!(code.nmid().unwrap().as_str(), shop.nmid);
        assert_eq!((code.name(), code.country()), ("Warung Sari", "ID"));
        assert_fields!(qr.answer, { "qr_type": "dynamic", "status": "awaiting_payment" });
        assert!(qr.answer["expires_at"].is_string() && qr.answer["data"].is_null());
    }
}

#[tokio::test]
async fn the_same_request_again_is_answered_with_the_same_bytes() {
    let (world, shop, credentials) = fixture::device().await;
    let body = ask(&credentials, "r-1", json!(50_000));
    let first = credentials.ask_qr(&world, "k-1", &body).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = credentials.ask_qr(&world, "k-1", &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let other = ask(&credentials, "r-1", json!(60_000));
    // The box's own request id is a key as well.
    for key in ["k-1", "k-2"] {
        assert_refused!(credentials.ask_qr(&world, key, &other), DUPLICATE_REQUEST);
    }
    let same = credentials.ask_qr(&world, "k-3", &body).await;
    let id = text(&first.json(), "transaction_id");
    assert_eq!(same.json()["transaction_id"], id);
    let api = credentials.api(&world);
    assert_refused!(api.post(PATH, &body), IDEMPOTENCY_KEY_REQUIRED);
    // The same key of another box is another key.
    let neighbour = Credentials::at(&world, shop.terminal().id).await;
    let body = ask(&neighbour, "r-1", json!(60_000));
    let theirs = neighbour.ask_qr(&world, "k-1", &body).await;
    assert!(theirs.status < 300, "{theirs}");
    assert_eq!(world.rows("transactions").await, 2);
}

#[tokio::test]
async fn twenty_times_at_once_is_one_code() {
    let (world, _, credentials) = fixture::device().await;
    let body = ask(&credentials, "r-1", json!(50_000));
    let asks = (0..20).map(|_| credentials.ask_qr(&world, "k-1", &body));
    let answers = futures_util::future::join_all(asks).await;
    let mut bodies: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status < 300)
        .map(|answer| &answer.body)
        .collect();
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status >= 300) {
        answer.refused(DUPLICATE_REQUEST);
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(world.rows("transactions").await, 1);
}

#[tokio::test]
async fn an_amount_is_whole_rupiah_however_it_is_written() {
    let (world, _, credentials) = fixture::device().await;
    for (number, amount) in (0..).zip([
        json!(50_000),
        json!("50000"),
        json!(50000.0),
        json!("50000.00"),
    ]) {
        let key = format!("good-{number}");
        let body = ask(&credentials, &key, amount);
        let answer = credentials.ask_qr(&world, &key, &body).await;
        let code = answer.json()["qr_payload"].to_string();
        assert!(code.contains("5303360540550000"), "{answer}");
    }
    let wrong = [
        json!(0),
        json!(-1),
        json!(0.5),
        json!("0.01"),
        json!(10_000_001),
        json!("many"),
        json!(null),
        json!(true),
        json!(1e300),
    ];
    for (number, amount) in (0..).zip(wrong) {
        let key = format!("wrong-{number}");
        let body = ask(&credentials, &key, amount);
        assert_refused!(credentials.ask_qr(&world, &key, &body), INVALID_AMOUNT);
    }
    assert_eq!(world.rows("transactions").await, 4);
}

#[tokio::test]
async fn a_refused_code_request_has_a_reason() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let unbound = Credentials::unbound(&world).await;
    let mute = register_with(&world, &["speaker"]).await;
    bind(&world, mute.device_id, shop.terminal().id).await;
    let mute = mute.activate(&world, Encoding::Json).await;

    let refused = |who: Credentials, body: Value, refusal: Refusal<'static>| {
        let world = &world;
        async move {
            let key = format!("k-{:016x}", rand::random::<u64>());
            who.ask_qr(world, &key, &body).await.refused(refusal);
        }
    };
    let plain = |who: &Credentials| ask(who, "r-1", json!(50_000));
    refused(unbound.clone(), plain(&unbound), DEVICE_NOT_BOUND).await;
    refused(mute.clone(), plain(&mute), DEVICE_CAPABILITY_NOT_SUPPORTED).await;
    refused(credentials.clone(), plain(&unbound), FORBIDDEN).await;
    let mut elsewhere = plain(&credentials);
    elsewhere["terminal_id"] = json!(shop.terminals[1].id);
    refused(credentials.clone(), elsewhere, FORBIDDEN).await;
    let mut dollars = plain(&credentials);
    dollars["currency"] = json!("USD");
    refused(credentials.clone(), dollars, VALIDATION_FAILED).await;
    let mut nameless = plain(&credentials);
    nameless["request_id"] = json!("");
    refused(credentials.clone(), nameless, VALIDATION_FAILED).await;

    let body = plain(&credentials);
    let key = [("idempotency-key", "k")];
    // Nor is a person's token accepted.
    for api in [world.anonymous(), world.admin()] {
        assert_refused!(api.post_with(PATH, &key, &body), DEVICE_UNAUTHORIZED);
    }
    assert_eq!(world.rows("transactions").await, 0);
}

async fn asked_by_mqtt(soundbox: &mut Soundbox, body: &Value) -> DynamicQrResponse {
    let mut body = body.clone();
    body["message_type"] = json!("dynamic_qr_request");
    body["created_at"] = json!("2026-05-23T10:00:00Z");
    let payload = body.to_string().into_bytes();
    assert!(soundbox.send_raw(Channel::DynamicQrRequest, payload).await);
    let response = soundbox.next_qr().await;
    assert_eq!(json!(response.correlation_id), body["request_id"]);
    response
}

async fn refused_by_mqtt(soundbox: &mut Soundbox, body: &Value, code: &str) {
    let response = asked_by_mqtt(soundbox, body).await;
    match &response.outcome {
        QrOutcome::Refused(error) => assert_eq!(error.code, code),
        QrOutcome::Ready { .. } => panic!("{response:?}"),
    }
}

#[tokio::test]
async fn a_code_is_requested_by_mqtt() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let mut body = ask(&soundbox.credentials, "r-1", json!(50_000));
    body["terminal_id"] = json!(shop.terminal().id);
    let first = asked_by_mqtt(&mut soundbox, &body).await;
    let QrOutcome::Ready {
        transaction_id,
        amount,
        status,
        qr_payload,
        ..
    } = first.outcome.clone()
    else {
        panic!("{first:?}")
    };
    assert_eq!(amount.to_i64(), 50_000);
    assert_eq!(status, "awaiting_payment");
    assert!(qr_payload.parse::<QrisCode>().is_ok());
    // A lost answer: the same answer again.
    assert_eq!(asked_by_mqtt(&mut soundbox, &body).await, first);
    // And over HTTP too.
    let over_http = soundbox.credentials.ask_qr(&world, "k", &body).await;
    assert_eq!(over_http.json()["transaction_id"], json!(transaction_id));

    body["amount"] = json!(60_000);
    refused_by_mqtt(&mut soundbox, &body, "DUPLICATE_REQUEST").await;
    for wrong in [json!(0), json!("many"), json!(10_000_001), json!(0.5)] {
        let body = ask(&soundbox.credentials, "r-2", wrong);
        refused_by_mqtt(&mut soundbox, &body, "INVALID_AMOUNT").await;
    }
    let mut elsewhere = ask(&soundbox.credentials, "r-3", json!(50_000));
    elsewhere["terminal_id"] = json!(shop.terminals[1].id);
    refused_by_mqtt(&mut soundbox, &elsewhere, "FORBIDDEN").await;

    let paid = world.acquirer().pay(transaction_id, 50_000).await;
    let _ = paid.expect(200);
    assert_eq!(soundbox.play().await.transaction_id, transaction_id);

    let mut unbound = Soundbox::unbound(&world).await;
    let body = ask(&unbound.credentials, "r-1", json!(50_000));
    refused_by_mqtt(&mut unbound, &body, "DEVICE_NOT_BOUND").await;
}
