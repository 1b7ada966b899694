//! A settlement is paid once, whatever the payout partner does.

use tests::payout_partner::{Behaviour, payout_callback, reference};
use tests::prelude::*;

const NET: i64 = 148_950;

/// A shop that has sold for 150,000 and is owed 148,950.
async fn sold(behaviour: Behaviour) -> Payouts {
    let payouts = Payouts::open(behaviour).await;
    payouts.sell(&[100_000, 50_000]).await;
    payouts
}

/// The same, with a merchant that is paid by hand.
async fn paid_by_hand() -> Payouts {
    let payouts = sold(Behaviour::Pays).await;
    let manual = json!({ "payout_mode": "manual" });
    payouts.shop.change(&payouts.world, manual).await;
    payouts
}

/// Balances of acquirer_held, merchant_payable, mdr and payout_in_transit; debits are positive.
async fn balances(scene: &Payouts) -> [i64; 4] {
    let mut balances = [0; 4];
    let accounts = [
        "acquirer_held",
        "merchant_payable",
        "mdr",
        "payout_in_transit",
    ];
    for (balance, account) in balances.iter_mut().zip(accounts) {
        *balance = ledger::balance(&scene.world.pool, account).await;
    }
    balances
}

/// The statuses of a settlement's payouts, oldest first.
fn statuses(settlement: &Value) -> Vec<String> {
    texts(settlement["payouts"].as_array().unwrap(), "status")
}

#[tokio::test]
async fn a_settlement_reaches_the_bank_and_every_rupiah_is_booked() {
    let scene = sold(Behaviour::Accepts).await;
    assert_eq!(balances(&scene).await, [150_000, -148_950, -1_050, 0]);
    let id = scene.run().await;
    let settlement = scene.becomes(&id, "processing").await;
    let payout = &settlement["payouts"][0];
    let payout_id = text(payout, "id");
    assert_fields!(payout, { "attempt": 1, "amount": NET, "partner_id": "bank" });
    assert_fields!(payout, { "destination": "bank:9876543210", "status": "processing" });
    assert_eq!(balances(&scene).await, [150_000, 0, -1_050, -148_950]);
    let received = eventually("the instruction at the partner", || async {
        scene.partner.transfers().get(&payout_id).cloned()
    })
    .await;
    assert_fields!(received.instruction, { "destination": "bank:9876543210", "amount": NET });

    scene.partner.decide("paid");
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(paid["bank_reference"], json!(reference(&payout_id)));
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
    assert_eq!(scene.partner.transfers().len(), 1);
    ledger::must_balance(&scene.world.pool).await;
}

#[tokio::test]
async fn a_payout_whose_answer_was_lost_is_asked_about_and_not_paid_twice() {
    let scene = sold(Behaviour::LosesAnswers).await;
    let id = scene.run().await;
    let first = scene.becomes(&id, "paid").await;
    assert_eq!(first["payouts"].as_array().unwrap().len(), 1);
    let transfers = scene.partner.transfers();
    assert_eq!(transfers.len(), 1);
    assert_eq!(transfers.values().next().unwrap().instructed, 1);
    assert!(scene.partner.queries() >= 1);

    // An instruction that was not received is sent again, under the same id.
    scene.partner.set_behaviour(Behaviour::Unreachable);
    scene.sell(&[10_000]).await;
    let id = scene.run().await;
    let unheard = eventually("a try without an answer", || async {
        let settlement = scene.read(&id).await;
        let has_reason = settlement["payouts"][0]["reason"].is_string();
        has_reason.then_some(settlement)
    })
    .await;
    // The partner may have received it.
    assert_eq!(unheard["status"], "processing");
    scene.retry(&id).await.refused(SETTLEMENT_NOT_ELIGIBLE);
    scene.partner.set_behaviour(Behaviour::Pays);
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"][0]["id"], unheard["payouts"][0]["id"]);
    assert_eq!(scene.partner.transfers().len(), 2);
    assert_eq!(scene.partner.paid(), NET + 9_930);
    // A try is the first instruction or a query: each counts once, whether it was answered or not.
    let tries = |settlement: &Value| settlement["payouts"][0]["tries"].as_u64().unwrap();
    let all = tries(&first) + tries(&paid);
    assert_eq!(all, u64::from(scene.partner.queries()) + 2);
}

#[tokio::test]
async fn a_platform_that_dies_while_it_pays_out_pays_once() {
    let mut scene = sold(Behaviour::Accepts).await;
    let id = scene.run().await;
    let payout_id = eventually("the instruction at the partner", || async {
        scene.partner.transfers().keys().next().cloned()
    })
    .await;
    scene.world.crash();
    scene.partner.decide("paid");
    scene.world.start().await;
    scene.finance = scene.world.staff(Role::Finance).await;
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"][0]["id"], payout_id);
    assert_eq!(scene.partner.transfers().len(), 1);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn a_payout_that_failed_is_tried_again_at_the_account_that_is_right_by_then() {
    let scene = sold(Behaviour::Refuses).await;
    let id = scene.run().await;
    let failed = scene.becomes(&id, "failed").await;
    assert_eq!(failed["status_reason"], "no such account");
    assert_eq!(balances(&scene).await, [150_000, -148_950, -1_050, 0]);
    let account = json!({ "payout_account_reference": "bank:111" });
    scene.shop.change(&scene.world, account).await;
    scene.partner.set_behaviour(Behaviour::Pays);
    let again = scene.retry(&id).await.expect(202).data();
    assert_fields!(again, { "status": "pending", "payouts/1/destination": "bank:111" });
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(statuses(&paid), ["failed", "paid"]);
    assert_eq!(scene.partner.paid(), NET);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);

    // The merchant's bank returns it, and it is paid again.
    let newest = text(&paid["payouts"][1], "id");
    scene.partner.decide_on(&newest, "returned");
    let back = payout_callback(&id, "returned", NET, &reference(&newest));
    let answer = PayoutPartner::send(&scene.world, &back).await;
    let answer = answer.expect(200).data();
    assert_fields!(answer, { "verdict": "accepted", "status": "returned" });
    assert_eq!(balances(&scene).await, [150_000, -148_950, -1_050, 0]);
    let _ = scene.retry(&id).await.expect(202);
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(paid["payouts"].as_array().unwrap().len(), 3);
    // The same callback again is still about the payout that it was about.
    let answer = PayoutPartner::send(&scene.world, &back).await;
    let answer = answer.expect(200).data();
    assert_fields!(answer, { "verdict": "duplicate", "payout_id": newest, "status": "paid" });
    assert_eq!(scene.partner.paid(), NET);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn before_it_is_paid_again_the_partner_is_asked_and_what_was_paid_after_all_is_not_paid_twice()
 {
    let scene = sold(Behaviour::Accepts).await;
    let id = scene.run().await;
    let first = text(&scene.becomes(&id, "processing").await["payouts"][0], "id");
    eventually("the instruction at the partner", || async {
        scene.partner.transfers().get(&first).cloned()
    })
    .await;
    let failed = payout_callback(&id, "failed", NET, "none");
    let answer = PayoutPartner::send(&scene.world, &failed).await;
    let _ = answer.expect(200);
    let _ = scene.retry(&id).await.expect(202);
    // The first is still in processing at the partner: the second waits, and the partner has not received it.
    eventually("a query at the partner", || async {
        scene.world.later(1);
        let settlement = scene.read(&id).await;
        (settlement["payouts"][1]["reason"] == "an earlier payout is still under way").then_some(())
    })
    .await;
    assert_eq!(scene.partner.transfers().len(), 1);
    scene.partner.decide("paid");
    let paid = scene.becomes(&id, "paid").await;
    assert_eq!(statuses(&paid), ["paid", "cancelled"]);
    assert_eq!(scene.partner.transfers().len(), 1);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
}

#[tokio::test]
async fn retries_at_the_same_time_make_one_payout() {
    let scene = sold(Behaviour::Refuses).await;
    let id = scene.run().await;
    scene.becomes(&id, "failed").await;
    scene.partner.set_behaviour(Behaviour::Pays);
    let retries = futures_util::future::join_all((0..8).map(|_| scene.retry(&id))).await;
    assert_eq!(with_status(&retries, 202), 1);
    assert_eq!(with_status(&retries, 409), 7);
    scene.becomes(&id, "paid").await;
    assert_eq!(scene.partner.paid(), NET);
    assert_eq!(scene.partner.transfers().len(), 2);
}

#[tokio::test]
async fn callbacks_have_one_effect_and_contradictions_change_nothing() {
    let scene = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_callbacks_only).await;
    scene.sell(&[100_000, 50_000]).await;
    let id = scene.run().await;
    let settlement = scene.becomes(&id, "processing").await;
    assert_eq!(settlement["payouts"].as_array().unwrap().len(), 1);
    let world = &scene.world;

    // Signed for another route, changed, another amount, an unknown settlement.
    let paid = payout_callback(&id, "paid", NET, "B-1");
    let before = Snapshot::take(&world.pool).await;
    let mut request = PayoutPartner::sign(world, &paid);
    request.body[10] ^= 1;
    assert_refused!(PayoutPartner::post(world, &request), INVALID_SIGNATURE);
    let body = paid.to_string();
    let mut foreign = world.acquirer().sign(body.as_bytes(), world.clock.now());
    assert_refused!(PayoutPartner::post(world, &foreign), INVALID_SIGNATURE);
    foreign.partner = "bank".to_owned();
    assert_refused!(PayoutPartner::post(world, &foreign), INVALID_SIGNATURE);
    before
        .changed_only(&world.pool, &[("rejected_callbacks", 3)])
        .await;
    let mut old = PayoutPartner::sign(world, &paid);
    world.later(301);
    assert_refused!(PayoutPartner::post(world, &old), STALE_TIMESTAMP);
    old.body = b"{}".to_vec();
    assert_refused!(PayoutPartner::post(world, &old), INVALID_SIGNATURE);
    let mut more = paid.clone();
    more["amount"] = json!(NET + 1);
    assert_refused!(PayoutPartner::send(world, &more), INVALID_STATE);
    let unknown = payout_callback("set_0190f3a1c0de7abc8def0123456789ab", "paid", NET, "B-1");
    assert_refused!(PayoutPartner::send(world, &unknown), SETTLEMENT_NOT_FOUND);
    assert_eq!(world.rows("incidents").await, 2);
    assert_eq!(scene.read(&id).await["status"], "processing");

    // Paid, and repeated: by the same message and by another one.
    let verdict = async |body: &Value| {
        let answer = PayoutPartner::send(world, body).await;
        text(&answer.expect(200).data(), "verdict")
    };
    let of = |status: &str, reference: &str| payout_callback(&id, status, NET, reference);
    assert_eq!(verdict(&paid).await, "accepted");
    let before = Snapshot::take(&world.pool).await;
    assert_eq!(verdict(&paid).await, "duplicate");
    assert_eq!(verdict(&of("paid", "B-1")).await, "duplicate");
    let changes = before.changes(&world.pool).await;
    let money = [
        "postings",
        "payouts",
        "payout_events",
        "settlements",
        "incidents",
    ];
    assert!(
        money.iter().all(|table| !changes.contains_key(*table)),
        "{changes:?}"
    );
    assert_eq!(changes["callbacks"], 2);
    let shown = scene.read(&id).await;
    assert_fields!(shown, { "status": "paid", "bank_reference": "B-1" });

    // The same message with another content; another reference; failed after paid.
    let mut other = paid.clone();
    other["status"] = json!("failed");
    assert_refused!(PayoutPartner::send(world, &other), DUPLICATE_REQUEST);
    assert_eq!(verdict(&of("paid", "B-2")).await, "ignored");
    assert_eq!(verdict(&of("failed", "B-1")).await, "ignored");
    assert_eq!(world.rows("incidents").await, 5);
    assert_eq!(scene.read(&id).await["status"], "paid");
    scene.retry(&id).await.refused(SETTLEMENT_NOT_ELIGIBLE);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);

    // Returned: eight times at once, and booked once.
    let back = of("returned", "B-1");
    let sent = (0..8).map(|_| verdict(&back));
    let mut verdicts = futures_util::future::join_all(sent).await;
    verdicts.retain(|verdict| verdict == "accepted");
    assert_eq!(verdicts.len(), 1);
    assert_eq!(balances(&scene).await, [150_000, -148_950, -1_050, 0]);
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn without_a_payout_partner_settlements_wait_for_one() {
    let partner = PayoutPartner::open(Behaviour::Pays).await;
    let mut scene = Payouts::with(Behaviour::Pays, |_, _| {}).await;
    scene.sell(&[100_000, 50_000]).await;
    let id = scene.run().await;
    let waits = scene.read(&id).await;
    assert_fields!(waits, { "status": "pending", "payouts": [] });
    assert_eq!(waits["status_reason"], "no payout partner is configured");
    scene.retry(&id).await.refused(SETTLEMENT_NOT_ELIGIBLE);
    scene.world.stop().await;
    scene.world.reconfigure(|config| partner.configure(config));
    scene.world.start().await;
    scene.finance = scene.world.staff(Role::Finance).await;
    scene.becomes(&id, "paid").await;
    assert_eq!(partner.paid(), NET);
}

#[tokio::test]
async fn what_people_pay_by_hand_they_mark_once() {
    let scene = paid_by_hand().await;
    let id = scene.run().await;
    assert_eq!(scene.read(&id).await["status"], "pending");
    let mark = format!("/admin/settlements/{id}/mark-paid");
    let nothing = json!({ "bank_reference": " " });
    assert_refused!(scene.finance.post_once(&mark, &nothing), VALIDATION_FAILED);
    let body = json!({ "bank_reference": "TRX-9" });
    let marks =
        futures_util::future::join_all((0..4).map(|_| scene.finance.post_once(&mark, &body))).await;
    assert_eq!(with_status(&marks, 200), 1);
    assert_refused!(scene.finance.post_once(&mark, &body), INVALID_STATE);
    let paid = scene.read(&id).await;
    assert_fields!(paid, { "status": "paid", "bank_reference": "TRX-9" });
    assert_eq!(paid["payouts"][0]["partner_id"], Value::Null);
    assert_eq!(scene.partner.transfers().len(), 0);
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
    // A callback of the partner is not about a payout by hand.
    let back = payout_callback(&id, "returned", NET, "TRX-9");
    let answer = PayoutPartner::send(&scene.world, &back).await;
    answer.refused(SETTLEMENT_NOT_FOUND);
}

#[tokio::test]
async fn what_came_back_of_a_payment_by_hand_is_owed_and_paid_again() {
    let scene = paid_by_hand().await;
    let id = scene.run().await;
    let paid = format!("/admin/settlements/{id}/mark-paid");
    let returned = format!("/admin/settlements/{id}/mark-returned");
    let reason = json!({ "reason": "account closed" });
    assert_refused!(scene.finance.post_once(&returned, &reason), INVALID_STATE);
    let first = json!({ "bank_reference": "TRX-9" });
    let _ = scene.finance.post_once(&paid, &first).await.expect(200);
    let marks =
        futures_util::future::join_all((0..4).map(|_| scene.finance.post_once(&returned, &reason)))
            .await;
    assert_eq!(with_status(&marks, 200), 1);
    let back = scene.read(&id).await;
    assert_fields!(back, { "status": "returned", "status_reason": "account closed" });
    // The acquirer holds it again, and it is owed to the merchant.
    assert_eq!(balances(&scene).await, [150_000, -NET, -1_050, 0]);
    scene.retry(&id).await.refused(SETTLEMENT_NOT_ELIGIBLE);
    let second = json!({ "bank_reference": "TRX-10" });
    let _ = scene.finance.post_once(&paid, &second).await.expect(200);
    assert_eq!(scene.read(&id).await["bank_reference"], "TRX-10");
    assert_eq!(balances(&scene).await, [1_050, 0, -1_050, 0]);
    assert_eq!(scene.partner.transfers().len(), 0);
}
