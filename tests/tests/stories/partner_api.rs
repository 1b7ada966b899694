//! Codes that a partner issues: requested, waited for, and queried when no callback comes.

use platform::config::NotifySignature::Symmetric;
use tests::prelude::*;
use tests::snap::{self, SnapPartner};
use tests::snap_partner_api::{Behaviour, NMID, SnapPartnerApi, terminal};
use wire::TransactionId;

use crate::view::{state, transaction};

async fn open() -> (World, SnapPartner, SnapPartnerApi, Credentials) {
    open_with(500).await
}

/// With a platform that waits so long for the partner.
async fn open_with(timeout_ms: u64) -> (World, SnapPartner, SnapPartnerApi, Credentials) {
    let api = SnapPartnerApi::open().await;
    let (world, partner) = snap::world_with(Symmetric, |config| {
        api.configure(config);
        config.payments.partner_timeout_ms = timeout_ms;
        config.payments.partner_pause_ms = 600_000;
    })
    .await;
    let terminal = terminal(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    (world, partner, api, credentials)
}

fn wanted(request_id: &str) -> Value {
    json!({ "amount": 50_000, "currency": "IDR", "request_id": request_id })
}

fn id_of(answer: &Answer) -> TransactionId {
    text(&answer.json(), "transaction_id").parse().unwrap()
}

/// Requests a code, which must be shown; its transaction.
async fn shown(world: &World, credentials: &Credentials) -> TransactionId {
    let answer = credentials.ask_qr(world, "key-1", &wanted("r1")).await;
    id_of(&answer.expect(201))
}

#[tokio::test]
async fn a_code_of_the_partners_is_shown_and_its_payment_heard() {
    let (world, partner, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let credentials = soundbox.credentials.clone();
    let ask = async |key: &str| credentials.ask_qr(&world, key, &wanted("r1")).await;
    let shown = ask("key-1").await.expect(201);
    let id = id_of(&shown);
    let asked = api.requests("qr-mpm-generate");
    assert_eq!(asked.len(), 1);
    assert_fields!(asked[0], { "partnerReferenceNo": id, "merchantId": NMID });
    assert_fields!(asked[0]["amount"], { "value": "50000.00", "currency": "IDR" });
    let code: domain::qris::QrisCode = text(&shown.json(), "qr_payload").parse().unwrap();
    assert_eq!(code.amount(), Some(50_000.into()));
    // The same again, by its key and by its request id: the same code, without another request to the partner.
    let again = ask("key-1").await;
    assert_eq!((again.status, &again.body), (201, &shown.body));
    assert_eq!(id_of(&ask("key-2").await), id);
    assert_eq!(api.requests("qr-mpm-generate").len(), 1);

    partner.notify(id, 50_000, &reference(), "00").await;
    assert_eq!(soundbox.play().await.transaction_id, id);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_partner_that_does_not_answer_is_a_timeout_and_the_box_may_ask_again() {
    let (world, _partner, api, credentials) = open().await;
    for behaviour in [Behaviour::Silent, Behaviour::Broken] {
        api.set_behaviour(behaviour);
        let answer = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        answer.refused(PARTNER_TIMEOUT);
    }
    let asked = api.requests("qr-mpm-generate");
    // The same request, twice.
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
    api.set_behaviour(Behaviour::Answers);
    let shown = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
    let shown = shown.expect(201);
    let id = id_of(&shown);
    assert_eq!(json!(id), asked[0]["partnerReferenceNo"]);
    assert_eq!(shown.json()["status"], "awaiting_payment");
    let again = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
    assert_eq!(again.body, shown.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(world.rows("transactions").await, 1);
}

#[tokio::test]
async fn while_the_partner_is_asked_key_and_request_are_taken() {
    let (world, _partner, api, credentials) = open_with(20_000).await;
    api.set_behaviour(Behaviour::Silent);
    let first = async { credentials.ask_qr(&world, "key-1", &wanted("r1")).await };
    let meanwhile = async {
        eventually("a query at the partner", || async {
            (!api.requests("qr-mpm-generate").is_empty()).then_some(())
        })
        .await;
        let same_key = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        let other_key = credentials.ask_qr(&world, "key-2", &wanted("r1")).await;
        api.set_behaviour(Behaviour::Answers);
        (same_key, other_key)
    };
    let (first, (same_key, other_key)) = futures_util::future::join(first, meanwhile).await;
    let why = text(&same_key.json(), "message");
    assert!(why.contains("waits for a partner"), "{why}");
    for busy in [same_key, other_key] {
        busy.refused(DUPLICATE_REQUEST);
        assert_eq!(busy.header("retry-after"), Some("1"));
    }
    assert_eq!(first.status, 201, "{first}");
    assert_eq!(api.requests("qr-mpm-generate").len(), 1);
}

#[tokio::test]
async fn a_code_that_is_refused_or_of_another_amount_is_never_shown() {
    let (world, _partner, api, credentials) = open().await;
    for (behaviour, request) in [(Behaviour::Refuses, "r1"), (Behaviour::WrongAmount, "r2")] {
        api.set_behaviour(behaviour);
        for _ in 0..2 {
            let answer = credentials.ask_qr(&world, request, &wanted(request)).await;
            answer.refused(INVALID_STATE);
        }
    }
    // A refusal is the last word.
    assert_eq!(api.requests("qr-mpm-generate").len(), 2);
    let failed = "transactions WHERE status = 'failed' AND qr_payload IS NULL";
    assert_eq!(world.rows(failed).await, 2);
}

#[tokio::test]
async fn a_partner_that_keeps_failing_is_left_alone_for_a_while() {
    let (world, _partner, api, credentials) = open().await;
    api.set_behaviour(Behaviour::Broken);
    for number in 0..8 {
        let (key, body) = (format!("r{number}"), wanted(&format!("r{number}")));
        assert_refused!(credentials.ask_qr(&world, &key, &body), PARTNER_TIMEOUT);
    }
    assert_eq!(api.requests("qr-mpm-generate").len(), 5);
}

#[tokio::test]
async fn a_lost_callback_is_found_by_asking_before_the_code_runs_out() {
    let (world, _partner, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = shown(&world, &soundbox.credentials).await;
    api.set_status(id, "00");
    world.later(271);
    assert_eq!(soundbox.play().await.transaction_id, id);
    let asked = api.requests("qr-mpm-query");
    assert_fields!(asked[0], { "originalReferenceNo": "ORDER-1", "serviceCode": "47" });
    let paid = transaction(&world, id).await;
    assert_fields!(paid, { "status": "paid", "late": false });
    assert_eq!(paid["partner_reference"], "ORDER-1");
    let archived = "callbacks WHERE route = 'v1.0/qr/qr-mpm-query' AND verdict = 'accepted'";
    assert_eq!(world.rows(archived).await, 1);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_status_that_means_nothing_has_the_partner_asked() {
    let (world, partner, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = shown(&world, &soundbox.credentials).await;
    partner.notify(id, 50_000, "ORDER-1", "99").await;
    eventually("a query at the partner", || async {
        (!api.requests("qr-mpm-query").is_empty()).then_some(())
    })
    .await;
    // The partner answered: pending.
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    api.set_status(id, "00");
    partner.notify(id, 50_000, "ORDER-1", "99").await;
    assert_eq!(soundbox.play().await.transaction_id, id);
}

#[tokio::test]
async fn a_merchant_whose_codes_the_partner_issues_needs_its_numbers() {
    let (world, _partner, _api, _credentials) = open().await;
    let admin = world.admin();
    let merchant = json!({ "legal_name": "PT Kopi", "brand_name": "Kopi", "merchant_pan": "1" });
    assert_refused!(admin.post("/admin/merchants", &merchant), VALIDATION_FAILED);
    let merchant = json!({ "legal_name": "PT Kopi", "brand_name": "Kopi" });
    let merchant = admin.create("/admin/merchants", &merchant).await;
    let approve = format!("/admin/merchants/{}/approve", text(&merchant, "id"));
    assert_refused!(admin.post(&approve, &json!({})), VALIDATION_FAILED);
}

#[tokio::test]
async fn a_payment_is_refunded_by_the_partner_and_then_in_the_ledger() {
    let (world, partner, api, credentials) = open().await;
    let id = shown(&world, &credentials).await;
    let path = format!("/admin/transactions/{id}/refund");
    let finance = world.staff(Role::Finance).await;
    let why = json!({ "reason": "the wrong coffee" });
    finance.post(&path, &why).await.refused(INVALID_STATE);
    partner.notify(id, 50_000, "ORDER-1", "00").await;
    let key = [("idempotency-key", "once")];
    let keyed = async || finance.post_with(&path, &key, &why).await;
    let refunded = keyed().await.expect(200);
    assert_eq!(refunded.data()["status"], "reversed");
    assert_eq!(keyed().await.body, refunded.body);
    let asked = api.requests("qr-mpm-refund");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["originalReferenceNo"], "ORDER-1");
    assert_eq!(asked[0]["refundAmount"]["value"], "50000.00");
    // The partner's own message about it changes nothing.
    partner.notify(id, 50_000, "ORDER-1", "04").await;
    ledger::must_balance(&world.pool).await;
    let refunds = "SELECT count(DISTINCT posting_id) FROM ledger_entries WHERE kind = 'refund'";
    assert_eq!(world.number(refunds).await, 1);
}

#[tokio::test]
async fn a_cancelled_code_is_withdrawn_and_money_that_comes_all_the_same_is_not_lost() {
    let (world, partner, api, credentials) = open().await;
    let id = shown(&world, &credentials).await;
    let path = format!("/admin/transactions/{id}/cancel");
    let why = json!({ "reason": "the customer left" });
    let cancelled = world.admin().act(&path, &why).await;
    assert_eq!(cancelled["status"], "failed");
    let asked = api.requests("qr-mpm-cancel");
    assert_eq!(asked[0]["originalReferenceNo"], "ORDER-1");
    world.admin().post(&path, &why).await.refused(INVALID_STATE);
    partner.notify(id, 50_000, "ORDER-1", "00").await;
    assert_eq!(state(&world, id).await, ("paid".to_owned(), true));
}

#[tokio::test]
async fn only_the_token_and_the_code_of_an_answer_are_needed() {
    let of_token = [
        json!({ "expiresIn": 900 }),
        json!({ "expiresIn": null }),
        json!({ "expiresIn": "soon", "tokenType": null }),
        json!({ "responseCode": null, "responseMessage": null, "tokenType": null }),
        json!({ "responseCode": 2_007_300, "responseMessage": ["ok"], "additionalInfo": [] }),
    ];
    let of_code = [
        json!({ "referenceNo": 2_020_102_977 }),
        json!({ "referenceNo": null, "responseCode": null, "responseMessage": null }),
        json!({ "referenceNo": {}, "partnerReferenceNo": 1, "additionalInfo": "none" }),
    ];
    let of_token = of_token.map(|fields| ("b2b", fields));
    let of_code = of_code.map(|fields| ("generate", fields));
    for (path, fields) in of_token.into_iter().chain(of_code) {
        let (world, partner, api, credentials) = open().await;
        api.override_answer(path, fields.clone());
        let mut soundbox = Soundbox::switch_on(&world, credentials).await;
        println!("{path} {fields}");
        let id = shown(&world, &soundbox.credentials).await;
        partner.notify(id, 50_000, &reference(), "00").await;
        assert_eq!(soundbox.play().await.transaction_id, id, "{path} {fields}");
    }
}

#[tokio::test]
async fn without_a_token_a_code_or_a_result_nothing_is_done() {
    for (path, fields) in [
        ("b2b", json!({ "accessToken": null })),
        ("b2b", json!({ "accessToken": "" })),
        ("b2b", json!({ "responseCode": "4017300" })),
        ("generate", json!({ "qrContent": null })),
        ("generate", json!({ "qrContent": 7 })),
        ("generate", json!({ "responseCode": "4044700" })),
    ] {
        let (world, _partner, api, credentials) = open().await;
        api.override_answer(path, fields.clone());
        let refused = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        refused.refused(INVALID_STATE);
    }
    // Without a response code the refund has not happened.
    let (world, partner, api, credentials) = open().await;
    let id = shown(&world, &credentials).await;
    partner.notify(id, 50_000, &reference(), "00").await;
    api.override_answer("done", json!({ "responseCode": null }));
    let finance = world.staff(Role::Finance).await;
    let path = format!("/admin/transactions/{id}/refund");
    let why = json!({ "reason": "the wrong coffee" });
    finance.post(&path, &why).await.refused(INVALID_STATE);
    assert_eq!(state(&world, id).await.0, "paid");
}
