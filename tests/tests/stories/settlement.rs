//! What merchants are owed is settled once.

use chrono::TimeDelta;
use tests::prelude::*;

async fn run(api: &Api, body: &Value) -> Answer {
    api.post_once("/admin/settlements/run", body).await
}

fn ids(outcome: &Value) -> Vec<String> {
    let settlements = outcome["settlements"].as_array().unwrap();
    settlements
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_run_settles_what_is_new_and_only_once() {
    let (world, shop, device) = fixture::device().await;
    let first = device.sell(&world, 100_000).await;
    device.sell(&world, 50_000).await;
    device.qr(&world, 9_000).await;
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let made = ids(&run(&finance, &json!({})).await.expect(200).data());
    assert_eq!(made.len(), 1);
    let path = format!("/admin/settlements/{}", made[0]);
    let settlement = finance.read(&path).await;
    for (field, value) in [
        ("merchant_id", json!(shop.merchant_id)),
        ("status", json!("pending")),
        ("payout_mode", json!("merchant_direct")),
        ("destination", json!("bank:9876543210")),
        ("gross", json!(150_000)),
        ("fee", json!(1_050)),
        ("refunds", json!(0)),
        ("net", json!(148_950)),
        ("transaction_count", json!(2)),
        ("payouts", json!([])),
        ("bank_reference", Value::Null),
    ] {
        assert_eq!(settlement[field], value, "{field}");
    }
    let transaction = finance.read(&format!("/admin/transactions/{first}")).await;
    assert_eq!(transaction["settlement_id"], settlement["id"]);

    // A second run: nothing is new. With one more sale: that one.
    let again = run(&finance, &json!({})).await.expect(200).data();
    assert_eq!(again, json!({ "settlements": [], "skipped": [] }));
    device.sell(&world, 10_000).await;
    world.later(1);
    let made = ids(&run(&finance, &json!({})).await.expect(200).data());
    let more = finance
        .get(&format!("/admin/settlements/{}", made[0]))
        .await
        .data();
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
    let _ = world
        .acquirer()
        .send(&but_status(paid, "reversed"))
        .await
        .expect(200);

    // 99,300 are to be taken back, and 49,650 came: nothing is paid out, and the rest stays due.
    device.sell(&world, 50_000).await;
    world.later(1);
    let waits = run(&finance, &json!({})).await.expect(200).data();
    assert_eq!(ids(&waits), Vec::<String>::new());
    assert_eq!(
        waits["skipped"],
        json!([{ "merchant_id": shop.merchant_id, "code": "SETTLEMENT_NOT_ELIGIBLE" }])
    );
    device.sell(&world, 100_000).await;
    world.later(1);
    let made = ids(&run(&finance, &json!({})).await.expect(200).data());
    let settlement = finance
        .get(&format!("/admin/settlements/{}", made[0]))
        .await
        .data();
    let money = ["gross", "fee", "refunds", "net"].map(|field| settlement[field].clone());
    assert_eq!(
        money,
        [150_000, 1_050, 99_300, 49_650].map(|amount: i64| json!(amount))
    );
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
    let made = ids(&run(&finance, &json!({})).await.expect(200).data());
    let settlement = finance
        .get(&format!("/admin/settlements/{}", made[0]))
        .await
        .data();
    assert_eq!(settlement["net"], json!(993));
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
    run(&admin, &only)
        .await
        .refused(MERCHANT_PAYOUT_NOT_CONFIGURED);
    let skipped = run(&admin, &json!({})).await.expect(200).data();
    assert_eq!(
        skipped,
        json!({ "settlements": [], "skipped": [{ "merchant_id": shop.merchant_id, "code": "MERCHANT_PAYOUT_NOT_CONFIGURED" }] })
    );
    // Before the cutoff nothing was paid; later it is settled by hand.
    admin
        .change(&merchant, &json!({ "payout_mode": "manual" }))
        .await;
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
    run(
        &admin,
        &json!({ "merchant_id": "m_0190f3a1c0de7abc8def0123456789ab" }),
    )
    .await
    .refused(MERCHANT_NOT_FOUND);
    admin
        .post("/admin/settlements/run", &json!({}))
        .await
        .refused(IDEMPOTENCY_KEY_REQUIRED);
    for role in [Role::Ops, Role::Support] {
        run(&world.staff(role).await, &json!({}))
            .await
            .refused(FORBIDDEN);
    }

    // Users of the merchant see it; others do not.
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let path = format!("/merchant/settlements/{id}");
    let hour = TimeDelta::hours(1);
    let person = |shop: &Shop| {
        let (world, merchant_id) = (&world, shop.merchant_id);
        async move {
            let token = world
                .token_for(Role::MerchantOwner, Some(merchant_id), hour)
                .await;
            world.anonymous().with_token(&token)
        }
    };
    let own = person(&shop).await;
    let seen = own.read("/merchant/settlements").await;
    assert_eq!(text(&seen[0], "id"), id);
    assert_eq!(seen[0]["destination"], Value::Null);
    own.read(&path).await;
    let other_owner = person(&other).await;
    let seen = other_owner.read("/merchant/settlements").await;
    assert_eq!(seen, json!([]));
    other_owner.get(&path).await.refused(SETTLEMENT_NOT_FOUND);
    let filtered = admin.read("/admin/settlements?status=paid").await;
    assert_eq!(filtered, json!([]));
}
