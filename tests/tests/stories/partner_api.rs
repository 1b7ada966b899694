//! Codes that a partner issues: asked for, waited for, and asked about when nobody tells us what became of them.

use platform::config::NotifySignature::Symmetric;
use serde_json::{Value, json};
use tests::acquirer::reference;
use tests::bank_api::{BankApi, Mood, NMID, till};
use tests::shop::text;
use tests::snap::{self, Bank, notification};
use tests::{Answer, Credentials, Soundbox, World, books, eventually};
use wire::TransactionId;

use crate::view::{state, transaction};

async fn open() -> (World, Bank, BankApi, Credentials) {
    open_with(500).await
}

/// With a platform that waits so long for the bank.
async fn open_with(timeout_ms: u64) -> (World, Bank, BankApi, Credentials) {
    let api = BankApi::open().await;
    let (world, bank) = snap::world_with(Symmetric, |config| {
        api.configure(config);
        config.payments.partner_timeout_ms = timeout_ms;
        config.payments.partner_pause_ms = 600_000;
    })
    .await;
    let terminal = till(&world).await;
    let credentials = Credentials::at(&world, terminal).await;
    (world, bank, api, credentials)
}

fn wanted(request_id: &str) -> Value {
    json!({ "amount": 50_000, "currency": "IDR", "request_id": request_id })
}

fn id_of(answer: &Answer) -> TransactionId {
    text(&answer.json(), "transaction_id").parse().unwrap()
}

#[tokio::test]
async fn a_code_of_the_partners_is_shown_and_its_payment_heard() {
    let (world, bank, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let shown = soundbox
        .credentials
        .ask_qr(&world, "key-1", &wanted("r1"))
        .await
        .expect(201);
    let id = id_of(&shown);
    let asked = api.heard("qr-mpm-generate");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["partnerReferenceNo"], json!(id));
    assert_eq!(
        asked[0]["amount"],
        json!({ "value": "50000.00", "currency": "IDR" })
    );
    assert_eq!(asked[0]["merchantId"], NMID);
    let code: domain::qris::QrisCode = text(&shown.json(), "qr_payload").parse().unwrap();
    assert_eq!(code.amount(), Some(50_000.into()));
    // The same again, by its key and by its request id: the same code, and the bank is not asked.
    let again = soundbox
        .credentials
        .ask_qr(&world, "key-1", &wanted("r1"))
        .await;
    assert_eq!((again.status, &again.body), (201, &shown.body));
    let other_key = soundbox
        .credentials
        .ask_qr(&world, "key-2", &wanted("r1"))
        .await;
    assert_eq!(id_of(&other_key), id);
    assert_eq!(api.heard("qr-mpm-generate").len(), 1);

    assert_eq!(
        bank.tell(&notification(id, 50_000, &reference(), "00"))
            .await,
        "2005200"
    );
    assert_eq!(soundbox.play().await.transaction_id, id);
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_partner_that_does_not_answer_is_a_timeout_and_the_box_may_ask_again() {
    let (world, _bank, api, credentials) = open().await;
    for mood in [Mood::Silent, Mood::Broken] {
        api.be(mood);
        let answer = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        answer.refused(504, "PARTNER_TIMEOUT");
    }
    let asked = api.heard("qr-mpm-generate");
    assert_eq!(
        (asked.len(), &asked[0]),
        (2, &asked[1]),
        "the same order, twice"
    );
    api.be(Mood::Good);
    let shown = credentials
        .ask_qr(&world, "key-1", &wanted("r1"))
        .await
        .expect(201);
    let id = id_of(&shown);
    assert_eq!(json!(id), asked[0]["partnerReferenceNo"]);
    assert_eq!(shown.json()["status"], "awaiting_payment");
    let again = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
    assert_eq!(again.body, shown.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM transactions").await,
        1
    );
}

#[tokio::test]
async fn while_the_partner_is_asked_key_and_request_are_taken() {
    let (world, _bank, api, credentials) = open_with(20_000).await;
    api.be(Mood::Silent);
    let first = async { credentials.ask_qr(&world, "key-1", &wanted("r1")).await };
    let meanwhile = async {
        eventually("the bank being asked", || async {
            (!api.heard("qr-mpm-generate").is_empty()).then_some(())
        })
        .await;
        let same_key = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        let other_key = credentials.ask_qr(&world, "key-2", &wanted("r1")).await;
        api.be(Mood::Good);
        (same_key, other_key)
    };
    let (first, (same_key, other_key)) = futures_util::future::join(first, meanwhile).await;
    let why = text(&same_key.json(), "message");
    assert!(
        why.contains("waits for a partner"),
        "the key is taken: {why}"
    );
    for busy in [same_key, other_key] {
        busy.refused(409, "DUPLICATE_REQUEST");
        assert_eq!(busy.header("retry-after"), Some("1"));
    }
    assert_eq!(first.status, 201, "{first}");
    assert_eq!(api.heard("qr-mpm-generate").len(), 1);
}

#[tokio::test]
async fn a_code_that_is_refused_or_asks_for_something_else_is_never_shown() {
    let (world, _bank, api, credentials) = open().await;
    for (mood, request) in [(Mood::Refusing, "r1"), (Mood::Wrong, "r2")] {
        api.be(mood);
        for _ in 0..2 {
            let answer = credentials.ask_qr(&world, request, &wanted(request)).await;
            answer.refused(409, "INVALID_STATE");
        }
    }
    assert_eq!(
        api.heard("qr-mpm-generate").len(),
        2,
        "a refusal is the last word"
    );
    let failed = "SELECT count(*) FROM transactions WHERE status = 'failed' AND qr_payload IS NULL";
    assert_eq!(books::count(&world.pool, failed).await, 2);
}

#[tokio::test]
async fn a_partner_that_keeps_failing_is_left_alone_for_a_while() {
    let (world, _bank, api, credentials) = open().await;
    api.be(Mood::Broken);
    for number in 0..8 {
        let request = format!("r{number}");
        let answer = credentials
            .ask_qr(&world, &request, &wanted(&request))
            .await;
        answer.refused(504, "PARTNER_TIMEOUT");
    }
    assert_eq!(api.heard("qr-mpm-generate").len(), 5);
}

#[tokio::test]
async fn a_lost_callback_is_found_by_asking_before_the_code_runs_out() {
    let (world, _bank, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = id_of(
        &soundbox
            .credentials
            .ask_qr(&world, "key-1", &wanted("r1"))
            .await
            .expect(201),
    );
    api.knows(id, "00");
    world.later(271);
    assert_eq!(soundbox.play().await.transaction_id, id);
    let asked = api.heard("qr-mpm-query");
    assert_eq!(asked[0]["originalReferenceNo"], "ORDER-1");
    assert_eq!(asked[0]["serviceCode"], "47");
    let paid = transaction(&world, id).await;
    assert_eq!(
        (&paid["status"], &paid["late"]),
        (&json!("paid"), &json!(false))
    );
    assert_eq!(paid["partner_reference"], "ORDER-1");
    let archived = "SELECT count(*) FROM callbacks WHERE route = 'v1.0/qr/qr-mpm-query' AND verdict = 'accepted'";
    assert_eq!(books::count(&world.pool, archived).await, 1);
    books::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_status_that_means_nothing_has_the_partner_asked() {
    let (world, bank, api, credentials) = open().await;
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let id = id_of(
        &soundbox
            .credentials
            .ask_qr(&world, "key-1", &wanted("r1"))
            .await
            .expect(201),
    );
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ORDER-1", "99")).await,
        "2005200"
    );
    eventually("the bank being asked", || async {
        (!api.heard("qr-mpm-query").is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        state(&world, id).await.0,
        "awaiting_payment",
        "pending, it says"
    );
    api.knows(id, "00");
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ORDER-1", "99")).await,
        "2005200"
    );
    assert_eq!(soundbox.play().await.transaction_id, id);
}

#[tokio::test]
async fn a_merchant_whose_codes_the_partner_issues_needs_its_numbers() {
    let (world, _bank, _api, _credentials) = open().await;
    let admin = world.admin();
    let merchant = json!({ "legal_name": "PT Kopi", "brand_name": "Kopi", "merchant_pan": "1" });
    admin
        .post("/admin/merchants", &merchant)
        .await
        .refused(422, "VALIDATION_FAILED");
    let merchant = json!({ "legal_name": "PT Kopi", "brand_name": "Kopi" });
    let merchant = admin
        .post("/admin/merchants", &merchant)
        .await
        .expect(201)
        .data();
    let approve = format!("/admin/merchants/{}/approve", text(&merchant, "id"));
    admin
        .post(&approve, &json!({}))
        .await
        .refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_payment_is_refunded_by_the_partner_and_then_in_the_books() {
    let (world, bank, api, credentials) = open().await;
    let id = id_of(
        &credentials
            .ask_qr(&world, "key-1", &wanted("r1"))
            .await
            .expect(201),
    );
    let path = format!("/admin/transactions/{id}/refund");
    let finance = world.staff(domain::role::Role::Finance).await;
    let why = json!({ "reason": "the wrong coffee" });
    finance
        .post(&path, &why)
        .await
        .refused(409, "INVALID_STATE");
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ORDER-1", "00")).await,
        "2005200"
    );
    let keyed = async || {
        finance
            .post_with(&path, &[("idempotency-key", "once")], &why)
            .await
    };
    let refunded = keyed().await.expect(200);
    assert_eq!(refunded.data()["status"], "reversed");
    assert_eq!(keyed().await.body, refunded.body);
    let asked = api.heard("qr-mpm-refund");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["originalReferenceNo"], "ORDER-1");
    assert_eq!(asked[0]["refundAmount"]["value"], "50000.00");
    // The partner's own message of it is nothing new.
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ORDER-1", "04")).await,
        "2005200"
    );
    books::must_balance(&world.pool).await;
    let refunds = "SELECT count(DISTINCT posting_id) FROM ledger_entries WHERE kind = 'refund'";
    assert_eq!(books::count(&world.pool, refunds).await, 1);
}

#[tokio::test]
async fn a_cancelled_code_is_withdrawn_and_money_that_comes_all_the_same_is_not_lost() {
    let (world, bank, api, credentials) = open().await;
    let id = id_of(
        &credentials
            .ask_qr(&world, "key-1", &wanted("r1"))
            .await
            .expect(201),
    );
    let path = format!("/admin/transactions/{id}/cancel");
    let why = json!({ "reason": "the customer left" });
    let cancelled = world.admin().post(&path, &why).await.expect(200).data();
    assert_eq!(cancelled["status"], "failed");
    assert_eq!(
        api.heard("qr-mpm-cancel")[0]["originalReferenceNo"],
        "ORDER-1"
    );
    world
        .admin()
        .post(&path, &why)
        .await
        .refused(409, "INVALID_STATE");
    assert_eq!(
        bank.tell(&notification(id, 50_000, "ORDER-1", "00")).await,
        "2005200"
    );
    assert_eq!(state(&world, id).await, ("paid".to_owned(), true));
}

#[tokio::test]
async fn of_a_token_and_a_code_nothing_else_is_needed() {
    for (path, fields) in [
        ("b2b", json!({ "expiresIn": 900 })),
        ("b2b", json!({ "expiresIn": null })),
        ("b2b", json!({ "expiresIn": "soon", "tokenType": null })),
        (
            "b2b",
            json!({ "responseCode": null, "responseMessage": null, "tokenType": null }),
        ),
        (
            "b2b",
            json!({ "responseCode": 2_007_300, "responseMessage": ["ok"], "additionalInfo": [] }),
        ),
        ("generate", json!({ "referenceNo": 2_020_102_977 })),
        (
            "generate",
            json!({ "referenceNo": null, "responseCode": null, "responseMessage": null }),
        ),
        (
            "generate",
            json!({ "referenceNo": {}, "partnerReferenceNo": 1, "additionalInfo": "none" }),
        ),
    ] {
        let (world, bank, api, credentials) = open().await;
        api.answers(path, fields.clone());
        let mut soundbox = Soundbox::switch_on(&world, credentials).await;
        let shown = soundbox
            .credentials
            .ask_qr(&world, "key-1", &wanted("r1"))
            .await;
        assert_eq!(shown.status, 201, "{path} {fields}: {shown}");
        let id = id_of(&shown);
        let paid = notification(id, 50_000, &reference(), "00");
        assert_eq!(bank.tell(&paid).await, "2005200");
        assert_eq!(soundbox.play().await.transaction_id, id, "{path} {fields}");
    }
}

#[tokio::test]
async fn without_a_token_or_a_code_or_a_word_about_money_nothing_is_done() {
    for (path, fields) in [
        ("b2b", json!({ "accessToken": null })),
        ("b2b", json!({ "accessToken": "" })),
        ("b2b", json!({ "responseCode": "4017300" })),
        ("generate", json!({ "qrContent": null })),
        ("generate", json!({ "qrContent": 7 })),
        ("generate", json!({ "responseCode": "4044700" })),
    ] {
        let (world, _bank, api, credentials) = open().await;
        api.answers(path, fields.clone());
        let refused = credentials.ask_qr(&world, "key-1", &wanted("r1")).await;
        refused.refused(409, "INVALID_STATE");
    }
    // That money went back is said, or it did not.
    let (world, bank, api, credentials) = open().await;
    let id = id_of(&credentials.ask_qr(&world, "key-1", &wanted("r1")).await);
    let paid = notification(id, 50_000, &reference(), "00");
    assert_eq!(bank.tell(&paid).await, "2005200");
    api.answers("done", json!({ "responseCode": null }));
    let finance = world.staff(domain::role::Role::Finance).await;
    let path = format!("/admin/transactions/{id}/refund");
    let why = json!({ "reason": "the wrong coffee" });
    finance
        .post(&path, &why)
        .await
        .refused(409, "INVALID_STATE");
    assert_eq!(state(&world, id).await.0, "paid");
}
