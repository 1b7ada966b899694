//! Paid, and nobody could be told: never without an alert that says why.

use serde_json::{Value, json};
use tests::acquirer::reference;
use tests::{Credentials, Shop, World};

use crate::view::{open_alert, open_alerts, open_money};

/// A payment of a till's printed code; its transaction's id.
async fn pay(world: &World, shop: &Shop, age_s: i64) -> Value {
    let body = json!({
        "nmid": shop.nmid, "terminal_label": shop.till().label, "event_id": "e", "partner_reference": reference(),
        "amount": 10_000, "currency": "IDR", "status": "success",
        "paid_at": world.clock.now() - chrono::TimeDelta::seconds(age_s),
    });
    let receipt = world.acquirer().tell(&body).await.expect(200).data();
    assert_eq!(receipt["status"], "paid");
    receipt["transaction_id"].clone()
}

async fn set_status(world: &World, credentials: &Credentials, status: &str) {
    let path = format!("/admin/devices/{}", credentials.device_id);
    let _ = world
        .admin()
        .patch(&path, &json!({ "status": status }))
        .await
        .expect(200);
}

/// The one open alert, which names this payment and this reason.
async fn is_told(world: &World, shop: &Shop, paid: &Value, reason: &str) {
    let alert = open_alert(world, "unannounced_payment").await;
    assert_eq!(alert["subject"], json!(shop.till().id));
    assert_eq!(alert["details"]["transaction_id"], *paid, "{alert}");
    assert_eq!(alert["details"]["reason"], reason, "{alert}");
}

#[tokio::test]
async fn a_till_without_a_box() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "no_box_bound").await;
}

#[tokio::test]
async fn a_till_whose_boxes_are_suspended() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    for _ in 0..2 {
        let credentials = Credentials::at(&world, shop.till().id).await;
        set_status(&world, &credentials, "suspended").await;
    }
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "box_suspended").await;
}

#[tokio::test]
async fn a_till_where_one_box_is_active_is_no_alert() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let suspended = Credentials::at(&world, shop.till().id).await;
    let active = Credentials::at(&world, shop.till().id).await;
    set_status(&world, &suspended, "suspended").await;
    pay(&world, &shop, 0).await;
    assert_eq!(
        open_alerts(&world, "unannounced_payment").await,
        Vec::<Value>::new()
    );
    assert_eq!(active.notifications(&world).await.len(), 1);
    assert_eq!(suspended.notifications(&world).await.len(), 0);
}

#[tokio::test]
async fn a_box_that_is_bound_and_was_never_activated() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let registered = tests::credentials::register(&world).await;
    tests::credentials::bind(&world, registered.device_id, shop.till().id).await;
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "box_not_active").await;
}

#[tokio::test]
async fn a_payment_whose_time_was_over_on_arrival() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let paid = pay(&world, &shop, 301).await;
    is_told(&world, &shop, &paid, "window_over").await;
    let rows = credentials.notifications(&world).await;
    assert_eq!((rows.len(), &rows[0]["status"]), (1, &json!("stale")));
}

#[tokio::test]
async fn money_that_is_assigned_to_a_till_without_a_box() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let body = json!({
        "nmid": shop.nmid, "event_id": "e", "partner_reference": "stray", "amount": 10_000, "currency": "IDR",
        "status": "success", "paid_at": world.clock.now(),
    });
    let _ = world.acquirer().tell(&body).await.expect(200);
    // Kept, and the merchant's boxes said nothing.
    let alert = open_alert(&world, "unannounced_payment").await;
    assert_eq!(alert["subject"], json!(shop.merchant_id));
    assert_eq!(alert["details"]["reason"], "no_such_terminal");
    let money = open_money(&world).await.remove(0);
    let path = format!(
        "/admin/unmatched-payments/{}/assign",
        money["id"].as_str().unwrap()
    );
    let assigned = world
        .admin()
        .post(&path, &json!({ "terminal_id": shop.till().id }))
        .await
        .expect(200)
        .data();
    let alerts = open_alerts(&world, "unannounced_payment").await;
    let alert = alerts
        .iter()
        .find(|alert| alert["subject"] == json!(shop.till().id))
        .unwrap_or_else(|| panic!("{alerts:?}"));
    assert_eq!(alert["details"]["reason"], "no_box_bound");
    assert_eq!(
        alert["details"]["transaction_id"],
        assigned["transaction_id"]
    );
}
