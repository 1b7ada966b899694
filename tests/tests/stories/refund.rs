//! Parts of a payment are taken back: each once, never more than was paid, whatever becomes of the answer.

use reqwest::Method;
use tests::partial_refunds::Scene;
use tests::prelude::*;
use tests::snap_partner_api::Behaviour;
use wire::TransactionId;

use crate::view::{open_alerts, state, transaction};

/// A payment of the box's terminal.
async fn paid(scene: &Scene, amount: i64, name: &str) -> TransactionId {
    let wanted = json!({ "amount": amount, "currency": "IDR", "request_id": name });
    let answer = scene.credentials.ask_qr(&scene.world, name, &wanted).await;
    let id = text(&answer.expect(201).json(), "transaction_id");
    let id = id.parse().unwrap();
    scene.partner.notify(id, amount, name, "00").await;
    id
}

fn path(id: TransactionId) -> String {
    format!("/admin/transactions/{id}/refund")
}

fn part(amount: i64) -> Value {
    json!({ "reason": "one cup was cold", "amount": amount })
}

fn rest() -> Value {
    json!({ "reason": "all of it was cold" })
}

#[tokio::test]
async fn two_parts_and_then_the_rest_are_taken_back() {
    let scene = Scene::open().await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    let take = async |body: Value| finance.act(&path(id), &body).await;
    let after = take(part(30_000)).await;
    assert_fields!(after, { "status": "paid", "refunded_amount": 30_000, "amount": 100_000, "fee": 700 });
    let after = take(part(50)).await;
    assert_fields!(after, { "status": "paid", "refunded_amount": 30_050 });
    for wrong in [0, 69_951, 100_000] {
        assert_refused!(finance.post(&path(id), &part(wrong)), INVALID_AMOUNT);
    }
    let after = take(rest()).await;
    assert_fields!(after, { "status": "reversed", "refunded_amount": 100_000 });
    assert_refused!(finance.post(&path(id), &part(1)), INVALID_STATE);

    assert_eq!(api.taken_back(), [50, 30_000, 69_950]);
    let asked = api.requests("qr-mpm-refund");
    assert_eq!(asked[0]["refundAmount"]["value"], "30000.00");
    let shown = transaction(world, id).await;
    let refunds = shown["refunds"].as_array().unwrap();
    let fees: Vec<_> = refunds.iter().map(|one| one["fee"].clone()).collect();
    assert_eq!(fees, [210, 0, 490]);
    for (number, refund) in (1..).zip(refunds) {
        assert_fields!(refund, { "number": number, "status": "done", "attempts": 1 });
        assert_eq!(refund["refund_no"], format!("OWN-{number}"));
    }
    let kinds = "SELECT count(DISTINCT posting_id) FROM ledger_entries WHERE kind = 'refund'";
    assert_eq!(world.number(kinds).await, 3);
    assert_eq!(ledger::balance(&world.pool, "acquirer_held").await, 0);
    ledger::must_balance(&world.pool).await;
    ledger::must_verify(world).await;
    let csv = finance.get("/admin/transactions.csv").await.expect(200);
    let csv = String::from_utf8(csv.body.to_vec()).unwrap();
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .ends_with(",100000,700,99300,100000"),
        "{csv}"
    );
}

#[tokio::test]
async fn where_the_dialect_has_no_parts_a_part_is_refused_and_the_whole_is_taken_back() {
    let scene = Scene::with(|config| {
        let bank = config.qris_partners.get_mut("bank").unwrap();
        bank.dialect = "snap".to_owned();
    })
    .await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    let refused = finance.post(&path(id), &part(30_000)).await;
    refused.refused(INVALID_STATE);
    let why = text(&refused.json(), "message");
    assert!(why.contains("whole payments only"), "{why}");
    assert_eq!(api.requests("qr-mpm-refund").len(), 0);
    let after = finance.act(&path(id), &part(100_000)).await;
    assert_fields!(after, { "status": "reversed", "refunded_amount": 100_000 });
    ledger::must_verify(world).await;
}

#[tokio::test]
async fn two_parts_at_once_are_two_refunds_or_one_waits() {
    let scene = Scene::with(|config| config.payments.partner_timeout_ms = 20_000).await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    api.set_behaviour(Behaviour::Silent);
    let first = async { finance.post_once(&path(id), &part(30_000)).await };
    let meanwhile = async {
        eventually("a refund at the partner", || async {
            (!api.taken_back().is_empty()).then_some(())
        })
        .await;
        // Whether it is of the same amount or of another: it is not taken for the first.
        for body in [part(30_000), part(20_000), rest()] {
            let busy = finance.post_once(&path(id), &body).await;
            busy.refused(DUPLICATE_REQUEST);
            assert_eq!(busy.header("retry-after"), Some("1"));
        }
        api.set_behaviour(Behaviour::Answers);
    };
    let (first, ()) = futures_util::future::join(first, meanwhile).await;
    assert_eq!(first.expect(200).data()["refunded_amount"], 30_000);

    let body = part(10_000);
    let address = path(id);
    let at_once = (0..8).map(|_| finance.post_once(&address, &body));
    let answers = futures_util::future::join_all(at_once).await;
    let done = tests::api::with_status(&answers, 200);
    let busy = tests::api::with_status(&answers, 409);
    // Seven of these and the first are all that was paid; what is then asked for is more than is left.
    let over = tests::api::with_status(&answers, 422);
    assert_eq!(done + busy + over, 8, "{answers:?}");
    let taken: i64 = api.taken_back().iter().sum();
    let after = transaction(world, id).await;
    assert_eq!(after["refunded_amount"], taken);
    assert_eq!(i64::try_from(done).unwrap() * 10_000 + 30_000, taken);
    assert!(done >= 1 && taken <= 100_000);
    ledger::must_verify(world).await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_asked_for_again_and_paid_back_once() {
    let scene = Scene::open().await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    api.set_behaviour(Behaviour::Silent);
    let key = [("idempotency-key", "once")];
    let lost = finance.post_with(&path(id), &key, &part(30_000)).await;
    lost.refused(PARTNER_TIMEOUT);
    assert_eq!(api.taken_back(), [30_000]);
    let open = transaction(world, id).await;
    assert_fields!(open, { "status": "paid", "refunded_amount": 0 });
    assert_eq!(open["refunds"][0]["status"], "requested");
    // Until it is known, no other part begins.
    assert_refused!(finance.post(&path(id), &part(20_000)), INVALID_STATE);
    api.set_behaviour(Behaviour::Answers);
    let again = finance.post_with(&path(id), &key, &part(30_000)).await;
    assert_eq!(again.expect(200).data()["refunded_amount"], 30_000);
    assert_eq!(api.taken_back(), [30_000]);
    ledger::must_verify(world).await;

    // Nobody asks again: the platform does.
    api.set_behaviour(Behaviour::Silent);
    assert_refused!(finance.post(&path(id), &part(20_000)), PARTNER_TIMEOUT);
    api.set_behaviour(Behaviour::Answers);
    world.later(31);
    eventually("a part that is taken back", || async {
        (transaction(world, id).await["refunded_amount"] == 50_000).then_some(())
    })
    .await;
    assert_eq!(api.taken_back(), [20_000, 30_000]);
    ledger::must_verify(world).await;
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_asked_for_until_a_person_has_to_look() {
    let scene = Scene::open().await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    api.override_answer("done", json!({ "responseCode": null }));
    assert_refused!(finance.post(&path(id), &part(30_000)), INVALID_STATE);
    let attempts = "SELECT attempts::bigint FROM refunds";
    while world.number(attempts).await < 16 {
        world.later(3_601);
        let context = world.app().context();
        service::payment::refund::resume_due(context, 10)
            .await
            .unwrap();
    }
    eventually("an alert", || async {
        (open_alerts(world, "failed_item").await.len() == 1).then_some(())
    })
    .await;
    // The partner did it in truth, under one name.
    assert_eq!(api.taken_back(), [30_000]);
    assert_eq!(state(world, id).await.0, "paid");
    let finance = world.staff(Role::Finance).await;
    // It was done before, says the partner: by us, because the name is ours.
    api.override_answer("done", json!({ "responseCode": "4097801" }));
    let after = finance.act(&path(id), &part(30_000)).await;
    assert_eq!(after["refunded_amount"], 30_000);
    ledger::must_verify(world).await;
}

#[tokio::test]
async fn a_refusal_ends_a_refund_and_the_next_one_has_another_name() {
    let scene = Scene::open().await;
    let Scene { world, api, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    api.set_behaviour(Behaviour::Refuses);
    assert_refused!(finance.post(&path(id), &part(30_000)), INVALID_STATE);
    api.set_behaviour(Behaviour::Answers);
    let after = finance.act(&path(id), &part(20_000)).await;
    assert_eq!(after["refunded_amount"], 20_000);
    let asked = api.requests("qr-mpm-refund");
    assert_ne!(asked[0]["partnerRefundNo"], asked[1]["partnerRefundNo"]);
    let refunds = transaction(world, id).await["refunds"].clone();
    assert_fields!(refunds[0], { "number": 1, "status": "refused", "fee": null });
    assert_fields!(refunds[1], { "number": 2, "status": "done", "fee": 140 });
    ledger::must_verify(world).await;
}

#[tokio::test]
async fn a_platform_that_dies_between_the_partners_deed_and_the_commit_books_it_later() {
    let scene = Scene::with(|config| config.payments.partner_timeout_ms = 20_000).await;
    let id = paid(&scene, 100_000, "P-1").await;
    let Scene { mut world, api, .. } = scene;
    let finance = world.staff(Role::Finance).await;
    api.set_behaviour(Behaviour::Silent);
    let asking = tokio::spawn({
        let body = serde_json::to_vec(&part(30_000)).unwrap();
        async move {
            finance
                .try_call(Method::POST, &path(id), &[], Some(body))
                .await
        }
    });
    eventually("a refund at the partner", || async {
        (!api.taken_back().is_empty()).then_some(())
    })
    .await;
    world.crash();
    assert!(asking.await.unwrap().is_err());
    api.set_behaviour(Behaviour::Answers);
    world.start().await;
    assert_eq!(transaction(&world, id).await["refunded_amount"], 0);
    // Whoever waited for the answer is gone when its time is over.
    world.later(600);
    eventually("a part that is taken back", || async {
        (transaction(&world, id).await["refunded_amount"] == 30_000).then_some(())
    })
    .await;
    assert_eq!(api.taken_back(), [30_000]);
    let refunds = "SELECT count(DISTINCT posting_id) FROM ledger_entries WHERE kind = 'refund'";
    assert_eq!(world.number(refunds).await, 1);
    ledger::must_verify(&world).await;
}

#[tokio::test]
async fn a_part_before_a_run_and_one_after_it_are_each_deducted_once() {
    let scene = Scene::open().await;
    let Scene { world, .. } = &scene;
    let id = paid(&scene, 100_000, "P-1").await;
    let finance = world.staff(Role::Finance).await;
    let merchant = text(&transaction(world, id).await, "merchant_id");
    let by_hand = json!({ "payout_mode": "manual" });
    world
        .admin()
        .change(&format!("/admin/merchants/{merchant}"), &by_hand)
        .await;
    finance.act(&path(id), &part(30_000)).await;
    world.later(1);
    let first = settle(&finance).await;
    let settlement = async |id: &str| finance.read(&format!("/admin/settlements/{id}")).await;
    let made = settlement(&first).await;
    assert_fields!(made, { "gross": 100_000, "fee": 700, "refunds": 29_790, "net": 69_510 });
    assert_fields!(made, { "transaction_count": 1 });
    ledger::must_verify(world).await;

    finance.act(&path(id), &part(20_000)).await;
    finance.act(&path(id), &part(10_000)).await;
    let _ = paid(&scene, 50_000, "P-2").await;
    world.later(1);
    let second = settle(&finance).await;
    let made = settlement(&second).await;
    assert_fields!(made, { "gross": 50_000, "fee": 350, "refunds": 29_790, "net": 19_860 });
    assert_fields!(made, { "transaction_count": 2 });
    let nothing = finance
        .post_once("/admin/settlements/run", &json!({}))
        .await;
    assert_eq!(
        nothing.expect(200).data(),
        json!({ "settlements": [], "skipped": [] })
    );
    let refunds = transaction(world, id).await["refunds"].clone();
    let settled: Vec<_> = (0..3)
        .map(|at| text(&refunds[at], "settlement_id"))
        .collect();
    assert_eq!(settled, [first.clone(), second.clone(), second.clone()]);

    let statement = async |id: &str, form: &str| {
        let path = format!("/admin/settlements/{id}/statement.{form}");
        let answer = finance.get(&path).await.expect(200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let csv = statement(&first, "csv?lang=en").await;
    for line in [",100000,700,99300", ",-30000,-210,-29790"] {
        assert!(csv.lines().any(|one| one.ends_with(line)), "{line}: {csv}");
    }
    let csv = statement(&second, "csv?lang=en").await;
    for line in [
        ",-20000,-140,-19860",
        ",-10000,-70,-9930",
        ",50000,350,49650",
    ] {
        assert!(csv.lines().any(|one| one.ends_with(line)), "{line}: {csv}");
    }
    assert!(statement(&second, "html").await.contains("-Rp19.860"));
    ledger::must_verify(world).await;
}
