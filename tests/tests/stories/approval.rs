//! Changes of money need two people, where that is the rule.

use domain::role::Role;
use platform::config::Switch;
use serde_json::{Value, json};
use tests::bank::Mood;
use tests::books::settle;
use tests::shop::text;
use tests::{Bank, Credentials, Shop, World};

use super::money::adds_up;

#[tokio::test]
async fn changes_of_money_need_two_people_where_that_is_the_rule() {
    let bank = Bank::open(Mood::Busy).await;
    let world = World::with(|config| {
        bank.configure(config);
        config.money.maker_checker = Switch::On;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Finance).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:555" });
    let read = async |path: &str| maker.get(path).await.expect(200).data();

    // A program may not; what is wrong is refused at once; what is no money is done at once.
    world
        .admin()
        .patch(&merchant, &account)
        .await
        .refused(403, "FORBIDDEN");
    maker
        .patch(&merchant, &json!({ "payout_mode": "cash" }))
        .await
        .refused(422, "VALIDATION_FAILED");
    let _ = maker
        .patch(&merchant, &json!({ "city": "BANDUNG" }))
        .await
        .expect(200);

    let proposal = maker.patch(&merchant, &account).await.expect(202).data();
    assert_eq!(
        (&proposal["status"], &proposal["kind"]),
        (&json!("pending"), &json!("merchant.patch"))
    );
    assert_eq!(
        read(&merchant).await["payout_account_reference"],
        Value::Null
    );
    let approve = format!("/admin/approvals/{}/approve", text(&proposal, "id"));
    maker
        .post(&approve, &json!({}))
        .await
        .refused(403, "FORBIDDEN");
    world
        .staff(Role::Finance)
        .await
        .post(&approve, &json!({}))
        .await
        .refused(403, "FORBIDDEN");
    let waiting = read("/admin/approvals?status=pending").await;
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    let approved = checker.post(&approve, &json!({})).await.expect(200).data();
    assert_ne!(approved["decided_by"], approved["requested_by"]);
    assert_eq!(
        read(&merchant).await["payout_account_reference"],
        "bank:555"
    );
    checker
        .post(&approve, &json!({}))
        .await
        .refused(409, "INVALID_STATE");

    // Turned down: nothing changes.
    let rates = json!({ "rules": [{ "basis_points": 0 }] });
    let proposal = checker
        .post("/admin/fee-profiles/fee_basic/versions", &rates)
        .await
        .expect(202)
        .data();
    let reject = format!("/admin/approvals/{}/reject", text(&proposal, "id"));
    let _ = maker
        .post(&reject, &json!({ "reason": "no" }))
        .await
        .expect(200);
    let basic = read("/admin/fee-profiles/fee_basic").await;
    assert_eq!(basic["versions"].as_array().unwrap().len(), 1);

    // A payout by hand is paid when the second person says so.
    let manual = maker
        .patch(&merchant, &json!({ "payout_mode": "manual" }))
        .await
        .expect(202)
        .data();
    let _ = checker
        .post(
            &format!("/admin/approvals/{}/approve", text(&manual, "id")),
            &json!({}),
        )
        .await
        .expect(200);
    let till = Credentials::at(&world, shop.till().id).await;
    till.sell(&world, 10_000).await;
    world.later(1);
    let settlement = format!("/admin/settlements/{}", settle(&checker).await);
    let mark = json!({ "bank_reference": "TRX-1" });
    let proposal = checker
        .post(&format!("{settlement}/mark-paid"), &mark)
        .await
        .expect(202)
        .data();
    assert_eq!(read(&settlement).await["status"], "pending");
    let _ = maker
        .post(
            &format!("/admin/approvals/{}/approve", text(&proposal, "id")),
            &json!({}),
        )
        .await
        .expect(200);
    assert_eq!(read(&settlement).await["status"], "paid");
    adds_up(&world).await;
}
