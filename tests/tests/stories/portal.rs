//! A merchant's users see the merchant's own data, and nothing else.

use chrono::{DateTime, TimeDelta, Utc};
use tests::prelude::*;

/// Moves the clock to noon in Jakarta of a coming day, so that no test passes midnight.
fn to_noon(world: &World) -> DateTime<Utc> {
    let now = world.clock.now();
    let tomorrow = (now + TimeDelta::days(1)).date_naive();
    let noon = tomorrow.and_hms_opt(5, 0, 0).unwrap().and_utc();
    world.later((noon - now).num_seconds() + 1);
    world.clock.now()
}

async fn sell_at(world: &World, credentials: &Credentials, amount: i64, paid_at: DateTime<Utc>) {
    let id = credentials.qr(world, amount).await.transaction_id;
    let body = success(id, amount, &reference(), paid_at);
    let _ = world.acquirer().send(&body).await.expect(200);
}

#[tokio::test]
async fn a_dashboard_adds_up_days_and_outlets() {
    let (world, shop) = fixture::shop().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let foreign = Credentials::at(&world, other.terminal().id).await;
    let branch = json!({ "name": "Cabang" });
    let path = format!("/admin/merchants/{}/outlets", shop.merchant_id);
    world.admin().create(&path, &branch).await;
    let now = to_noon(&world);
    let owner = world.owner(shop.merchant_id).await;
    // 0.7 % each: 350, 700, 70, 140, 35.
    sell_at(&world, &device, 50_000, now).await;
    sell_at(&world, &device, 100_000, now).await;
    // Noon in Jakarta less 13 hours is yesterday, though it is today's date in London.
    sell_at(&world, &device, 10_000, now - TimeDelta::hours(13)).await;
    sell_at(&world, &device, 20_000, now - TimeDelta::days(6)).await;
    sell_at(&world, &device, 5_000, now - TimeDelta::days(7)).await;
    sell_at(&world, &foreign, 77_000, now).await;
    device.qr(&world, 1_000).await;

    let summary = owner.read("/merchant/dashboard/summary").await;
    let sum = |count: i64, gross: i64, fee: i64| json!({ "count": count, "gross": gross, "fee": fee, "net": gross - fee });
    let sums =
        |value: &Value| ["today", "yesterday", "last_7_days"].map(|field| value[field].clone());
    let expected = [
        sum(2, 150_000, 1_050),
        sum(1, 10_000, 70),
        sum(4, 180_000, 1_260),
    ];
    assert_eq!(sums(&summary), expected);
    let outlets = summary["by_outlet"].as_array().unwrap();
    assert_eq!(outlets.len(), 2);
    assert_eq!(outlets[0]["name"], "Cabang");
    assert_eq!(sums(&outlets[0]), [0; 3].map(|none| sum(none, 0, 0)));
    assert_eq!(outlets[1]["outlet_id"], json!(shop.outlet_id));
    assert_eq!(sums(&outlets[1]), expected);
    assert_fields!(summary, { "devices": { "online": 0, "total": 1 }, "timezone": "Asia/Jakarta" });
}

#[tokio::test]
async fn a_merchant_sees_its_own_and_nothing_else() {
    let (world, shop) = fixture::shop().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let foreign = Credentials::at(&world, other.terminal().id).await;
    let own = device.sell(&world, 10_000).await;
    let theirs = foreign.sell(&world, 20_000).await;
    for role in [Role::MerchantOwner, Role::MerchantCashier] {
        let api = world.merchant_user(role, shop.merchant_id).await;
        let me = api.read("/merchant/me").await;
        assert_fields!(me, { "id": shop.merchant_id, "role": role.as_str() });
        let foreign_outlet = format!("transactions?outlet_id={}", other.outlet_id);
        for (list, expected) in [
            ("transactions", vec![own.to_string()]),
            ("transactions?status=expired", vec![]),
            (foreign_outlet.as_str(), vec![]),
            ("devices", vec![device.device_id.to_string()]),
            ("outlets", vec![shop.outlet_id.to_string()]),
        ] {
            let rows = api.list(&format!("/merchant/{list}")).await;
            assert_eq!(texts(&rows, "id"), expected, "{list}");
        }
        api.read(&format!("/merchant/transactions/{own}")).await;
        let path = format!("/merchant/transactions/{theirs}");
        assert_refused!(api.get(&path), TRANSACTION_NOT_FOUND);
    }
    // The platform's own staff have no merchant.
    world.admin().get("/merchant/me").await.refused(FORBIDDEN);
    assert_refused!(world.anonymous().get("/merchant/me"), UNAUTHENTICATED);
}
