//! What merchants are owed is settled once.

use chrono::TimeDelta;
use tests::prelude::*;

async fn run(api: &Api, body: &Value) -> Answer {
    api.post_once("/admin/settlements/run", body).await
}

fn ids(outcome: &Value) -> Vec<String> {
    serde_json::from_value(outcome["settlements"].clone()).unwrap()
}

/// Runs the settlements; the only one that was made.
async fn only_one(finance: &Api) -> Value {
    let made = ids(&run(finance, &json!({})).await.expect(200).data());
    assert_eq!(made.len(), 1);
    finance
        .read(&format!("/admin/settlements/{}", made[0]))
        .await
}

#[tokio::test]
async fn a_run_settles_what_is_new_and_only_once() {
    let (world, shop, device) = fixture::device().await;
    let first = device.sell(&world, 100_000).await;
    device.sell(&world, 50_000).await;
    device.qr(&world, 9_000).await;
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let settlement = only_one(&finance).await;
    assert_fields!(settlement, { "merchant_id": shop.merchant_id, "status": "pending" });
    assert_fields!(settlement, { "payout_mode": "merchant_direct", "destination": "bank:9876543210" });
    assert_fields!(settlement, { "gross": 150_000, "fee": 1_050, "refunds": 0, "net": 148_950 });
    assert_fields!(settlement, { "transaction_count": 2, "payouts": [], "bank_reference": null });
    let transaction = finance.read(&format!("/admin/transactions/{first}")).await;
    assert_eq!(transaction["settlement_id"], settlement["id"]);

    // A second run: nothing is new. With one more sale: that one.
    let again = run(&finance, &json!({})).await.expect(200).data();
    assert_eq!(again, json!({ "settlements": [], "skipped": [] }));
    device.sell(&world, 10_000).await;
    world.later(1);
    let more = only_one(&finance).await;
    assert_fields!(more, { "gross": 10_000, "net": 9_930 });
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_refund_is_taken_from_the_next_settlement_and_what_is_not_enough_waits() {
    let (world, shop, device) = fixture::device().await;
    let finance = world.staff(Role::Finance).await;
    let sold = device.qr(&world, 100_000).await.transaction_id;
    let paid = success(sold, 100_000, &reference(), world.clock.now());
    let _ = world.acquirer().send(&paid).await.expect(200);
    world.later(1);
    assert_eq!(ids(&run(&finance, &json!({})).await.data()).len(), 1);
    let reversed = but_status(paid, "reversed");
    let _ = world.acquirer().send(&reversed).await.expect(200);

    // 99,300 are to be taken back, and 49,650 came: nothing is paid out, and the rest stays due.
    device.sell(&world, 50_000).await;
    world.later(1);
    let waits = run(&finance, &json!({})).await.expect(200).data();
    assert_eq!(ids(&waits), Vec::<String>::new());
    let skipped = json!([{ "merchant_id": shop.merchant_id, "code": "SETTLEMENT_NOT_ELIGIBLE" }]);
    assert_eq!(waits["skipped"], skipped);
    device.sell(&world, 100_000).await;
    world.later(1);
    let settlement = only_one(&finance).await;
    assert_fields!(settlement, { "gross": 150_000, "fee": 1_050, "refunds": 99_300, "net": 49_650 });
    let nothing = run(&finance, &json!({})).await.expect(200).data();
    assert_eq!(nothing, json!({ "settlements": [], "skipped": [] }));

    // A sale that was reversed before any settlement is in none.
    let sold = device.qr(&world, 70_000).await.transaction_id;
    let paid = success(sold, 70_000, &reference(), world.clock.now());
    for body in [paid.clone(), but_status(paid, "reversed")] {
        let _ = world.acquirer().send(&body).await.expect(200);
    }
    device.sell(&world, 1_000).await;
    world.later(1);
    assert_eq!(only_one(&finance).await["net"], json!(993));
}

#[tokio::test]
async fn runs_at_the_same_time_claim_each_transaction_once() {
    let (world, shop) = fixture::shop().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let finance = world.staff(Role::Finance).await;
    let everything = json!({});
    // One that was settled and reversed since: its refund must be taken once, too.
    let device = Credentials::at(&world, shop.terminal().id).await;
    let sold = device.qr(&world, 15_000).await.transaction_id;
    let paid = success(sold, 15_000, &reference(), world.clock.now());
    let _ = world.acquirer().send(&paid).await.expect(200);
    world.later(1);
    let _ = run(&finance, &everything).await.expect(200);
    let reversed = but_status(paid, "reversed");
    let _ = world.acquirer().send(&reversed).await.expect(200);
    for shop in [&shop, &other] {
        let device = Credentials::at(&world, shop.terminal().id).await;
        for _ in 0..3 {
            device.sell(&world, 10_000).await;
        }
    }
    world.later(1);
    let runs = futures_util::future::join_all((0..8).map(|_| run(&finance, &everything)));
    // A payment does not wait for a run.
    let sale = device.sell(&world, 20_000);
    let (answers, _) = futures_util::future::join(runs, sale).await;
    let mut made = 0;
    for answer in &answers {
        made += ids(&answer.clone().expect(200).data()).len();
    }
    world.later(1);
    made += ids(&run(&finance, &everything).await.expect(200).data()).len();
    assert!((2..=3).contains(&made), "{made} settlements");
    let all = finance.list("/admin/settlements").await;
    let sum = |field: &str| -> i64 {
        let settlements = all.iter();
        settlements.map(|one| one[field].as_i64().unwrap()).sum()
    };
    assert_eq!((sum("gross"), sum("refunds")), (95_000, 14_895));
}

#[tokio::test]
async fn a_merchant_that_is_not_settled_has_a_reason() {
    let (world, shop, device) = fixture::device().await;
    device.sell(&world, 10_000).await;
    world.later(1);
    let admin = world.admin();
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let wallet = json!({ "settlement_account_type": "acquirer_balance" });
    admin.change(&merchant, &wallet).await;
    let only = json!({ "merchant_id": shop.merchant_id });
    assert_refused!(run(&admin, &only), MERCHANT_PAYOUT_NOT_CONFIGURED);
    let skipped =
        json!([{ "merchant_id": shop.merchant_id, "code": "MERCHANT_PAYOUT_NOT_CONFIGURED" }]);
    let outcome = run(&admin, &json!({})).await.expect(200).data();
    assert_fields!(outcome, { "settlements": [], "skipped": skipped });
    // Before the cutoff nothing was paid; later it is settled by hand.
    let manual = json!({ "payout_mode": "manual" });
    admin.change(&merchant, &manual).await;
    let early = json!({ "merchant_id": shop.merchant_id, "cutoff": world.clock.now() - TimeDelta::hours(1) });
    let outcome = run(&admin, &early).await.expect(200).data();
    assert_eq!(outcome["skipped"][0]["code"], "SETTLEMENT_NOT_ELIGIBLE");
    let made = run(&admin, &only).await.expect(200).data();
    let id = ids(&made)[0].clone();

    for wrong in [
        json!({ "cutoff": world.clock.now() + TimeDelta::hours(1) }),
        json!({ "merchant_id": "nobody" }),
        json!({ "colour": "red" }),
    ] {
        run(&admin, &wrong).await.refused(VALIDATION_FAILED);
    }
    let unknown = json!({ "merchant_id": "m_0190f3a1c0de7abc8def0123456789ab" });
    assert_refused!(run(&admin, &unknown), MERCHANT_NOT_FOUND);
    let without_key = admin.post("/admin/settlements/run", &json!({})).await;
    without_key.refused(IDEMPOTENCY_KEY_REQUIRED);
    for role in [Role::Ops, Role::Support] {
        let api = world.staff(role).await;
        assert_refused!(run(&api, &json!({})), FORBIDDEN);
    }

    // Users of the merchant see it; others do not.
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let path = format!("/merchant/settlements/{id}");
    let own = world.owner(shop.merchant_id).await;
    let seen = own.read("/merchant/settlements").await;
    assert_eq!(text(&seen[0], "id"), id);
    assert_eq!(seen[0]["destination"], Value::Null);
    own.read(&path).await;
    let other_owner = world.owner(other.merchant_id).await;
    let seen = other_owner.read("/merchant/settlements").await;
    assert_eq!(seen, json!([]));
    other_owner.get(&path).await.refused(SETTLEMENT_NOT_FOUND);
    let filtered = admin.read("/admin/settlements?status=paid").await;
    assert_eq!(filtered, json!([]));
}
