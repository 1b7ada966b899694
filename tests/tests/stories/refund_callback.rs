//! The partner takes parts back by itself and says so, or says again what it did for us.

use tests::partial_refunds::Scene;
use tests::prelude::*;
use tests::snap::notification;
use tests::webhook_receiver::WebhookReceiver;
use wire::TransactionId;

use crate::view::{incidents, transaction};

/// A payment of 100,000 with the reference `P-1`.
async fn paid(scene: &Scene) -> TransactionId {
    let wanted = json!({ "amount": 100_000, "currency": "IDR", "request_id": "P-1" });
    let answer = scene.credentials.ask_qr(&scene.world, "P-1", &wanted).await;
    let id = text(&answer.expect(201).json(), "transaction_id");
    let id = id.parse().unwrap();
    scene.partner.notify(id, 100_000, "P-1", "00").await;
    id
}

/// A message that takes so much back, under a number.
fn taken_back(id: TransactionId, amount: i64, refund_no: Option<&str>) -> Value {
    let mut body = notification(id, amount, "P-1", "04");
    body["additionalInfo"]["refundNo"] = json!(refund_no);
    body
}

/// How much was taken back, and how the transaction stands.
async fn stands(world: &World, id: TransactionId) -> (i64, String) {
    let shown = transaction(world, id).await;
    let refunded = shown["refunded_amount"].as_i64().unwrap();
    (refunded, text(&shown, "status"))
}

#[tokio::test]
async fn a_part_counts_once_for_each_number_and_more_than_is_left_is_an_incident() {
    let scene = Scene::with(WebhookReceiver::allow).await;
    let Scene { world, partner, .. } = &scene;
    let receiver = WebhookReceiver::open().await;
    receiver.join(&world.admin(), &["payment.reversed"]).await;
    let id = paid(&scene).await;
    let paid = |refunded: i64| (refunded, "paid".to_owned());
    for _ in 0..2 {
        partner.send_ok(&taken_back(id, 20_000, Some("R-1"))).await;
        assert_eq!(stands(world, id).await, paid(20_000));
    }
    // The amount of the refund stands beside that of the payment.
    let mut beside = taken_back(id, 100_000, Some("R-2"));
    beside["additionalInfo"]["refundAmount"] = json!({ "value": "20000.00", "currency": "IDR" });
    partner.send_ok(&beside).await;
    assert_eq!(stands(world, id).await, paid(40_000));
    // More than is left; a known number with another amount; a part that cannot be told from its repetition; the whole.
    for (amount, number) in [
        (60_001, Some("R-3")),
        (10_000, Some("R-1")),
        (10_000, None),
        (100_000, None),
    ] {
        let code = partner.send(&taken_back(id, amount, number)).await;
        assert!(code.starts_with("409"), "{code}");
        assert_eq!(stands(world, id).await, paid(40_000));
    }
    assert_eq!(incidents(world).await, ["amount_mismatch"; 4]);
    partner.send_ok(&taken_back(id, 60_000, Some("R-3"))).await;
    assert_eq!(stands(world, id).await, (100_000, "reversed".to_owned()));
    // Said again, in whatever form.
    partner.send_ok(&taken_back(id, 20_000, Some("R-1"))).await;
    partner.send_ok(&taken_back(id, 100_000, None)).await;
    let refunds = transaction(world, id).await["refunds"].clone();
    assert_fields!(refunds[0], { "refund_no": "R-1", "refund_name": null, "requested_by": "bank" });
    let fees: Vec<_> = (0..3).map(|at| refunds[at]["fee"].clone()).collect();
    assert_eq!(fees, [140, 140, 420]);
    ledger::must_verify(world).await;

    let told = receiver.has_taken(3).await;
    for (message, (amount, so_far, left)) in told.iter().zip([
        (20_000, 20_000, 80_000),
        (20_000, 40_000, 60_000),
        (60_000, 100_000, 0),
    ]) {
        assert_eq!(message.event(), "payment.reversed");
        let data = &message.body["data"];
        assert_fields!(data, { "amount": 100_000, "refunded_amount": so_far });
        assert_fields!(data["refund"], { "amount": amount, "left": left });
    }
}

#[tokio::test]
async fn what_the_partner_did_for_us_is_not_booked_again_when_it_says_so() {
    let scene = Scene::open().await;
    let Scene {
        world,
        partner,
        api,
        ..
    } = &scene;
    let id = paid(&scene).await;
    let finance = world.staff(Role::Finance).await;
    let path = format!("/admin/transactions/{id}/refund");
    let part = |amount: i64| json!({ "reason": "cold", "amount": amount });
    finance.act(&path, &part(30_000)).await;
    partner
        .send_ok(&taken_back(id, 30_000, Some("OWN-1")))
        .await;
    // By our name for it, and by a number that it did not tell when it answered.
    api.override_answer("done", json!({ "refundNo": null }));
    finance.act(&path, &part(20_000)).await;
    let name = text(&transaction(world, id).await["refunds"][1], "refund_name");
    partner.send_ok(&taken_back(id, 20_000, Some(&name))).await;
    partner
        .send_ok(&taken_back(id, 20_000, Some("OWN-2")))
        .await;
    assert_eq!(stands(world, id).await.0, 50_000);
    // From now on that number is known, and another one of the same amount is another refund.
    partner
        .send_ok(&taken_back(id, 20_000, Some("OWN-2")))
        .await;
    partner.send_ok(&taken_back(id, 20_000, Some("R-3"))).await;
    assert_eq!(stands(world, id).await.0, 70_000);

    // Its message comes before its answer.
    api.set_behaviour(tests::snap_partner_api::Behaviour::Silent);
    assert_refused!(finance.post(&path, &part(10_000)), PARTNER_TIMEOUT);
    partner
        .send_ok(&taken_back(id, 10_000, Some("OWN-4")))
        .await;
    assert_eq!(stands(world, id).await.0, 80_000);
    api.set_behaviour(tests::snap_partner_api::Behaviour::Answers);
    world.later(3_600);
    finance.act(&path, &json!({ "reason": "cold" })).await;
    assert_eq!(stands(world, id).await, (100_000, "reversed".to_owned()));
    assert_eq!(api.taken_back(), [10_000, 20_000, 20_000, 30_000]);
    assert_eq!(incidents(world).await, Vec::<String>::new());
    ledger::must_verify(world).await;
}
