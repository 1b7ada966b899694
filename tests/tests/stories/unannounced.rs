//! A payment that was not announced always has an alert with the reason.

use crate::view::{open_alert, open_alerts, open_money};
use tests::prelude::*;

/// A payment of a terminal's printed code; its transaction's id.
async fn pay(world: &World, shop: &Shop, age_s: i64) -> Value {
    let mut body = shop.printed_payment(world, 10_000);
    body["paid_at"] = json!(world.clock.now() - chrono::TimeDelta::seconds(age_s));
    let receipt = world.acquirer().send(&body).await.expect(200).data();
    assert_eq!(receipt["status"], "paid");
    receipt["transaction_id"].clone()
}

/// The one open alert, which names this payment and this reason.
async fn is_told(world: &World, shop: &Shop, paid: &Value, reason: &str) {
    let alert = open_alert(world, "unannounced_payment").await;
    assert_eq!(alert["subject"], json!(shop.terminal().id));
    assert_fields!(alert["details"], { "transaction_id": paid, "reason": reason });
}

#[tokio::test]
async fn a_terminal_without_a_box() {
    let (world, shop) = fixture::shop().await;
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "no_box_bound").await;
}

#[tokio::test]
async fn a_terminal_whose_boxes_are_suspended() {
    let (world, shop) = fixture::shop().await;
    for _ in 0..2 {
        let credentials = Credentials::at(&world, shop.terminal().id).await;
        credentials.set_status(&world, "suspended").await;
    }
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "box_suspended").await;
}

#[tokio::test]
async fn a_terminal_with_one_active_box_is_no_alert() {
    let (world, shop, suspended) = fixture::device().await;
    let active = Credentials::at(&world, shop.terminal().id).await;
    suspended.set_status(&world, "suspended").await;
    pay(&world, &shop, 0).await;
    assert!(open_alerts(&world, "unannounced_payment").await.is_empty());
    assert_eq!(active.notifications(&world).await.len(), 1);
    assert_eq!(suspended.notifications(&world).await.len(), 0);
}

#[tokio::test]
async fn a_box_that_is_bound_and_was_never_activated() {
    let (world, shop) = fixture::shop().await;
    let registered = register(&world).await;
    bind(&world, registered.device_id, shop.terminal().id).await;
    let paid = pay(&world, &shop, 0).await;
    is_told(&world, &shop, &paid, "box_not_active").await;
}

#[tokio::test]
async fn a_payment_whose_time_was_over_on_arrival() {
    let (world, shop, credentials) = fixture::device().await;
    let paid = pay(&world, &shop, 301).await;
    is_told(&world, &shop, &paid, "window_over").await;
    let rows = credentials.notifications(&world).await;
    assert_eq!((rows.len(), &rows[0]["status"]), (1, &json!("stale")));
}

/// A code on a box's display is paid after its box was taken away: by the path on which payments are committed together.
#[tokio::test]
async fn a_payment_of_a_displayed_code_says_why_it_was_not_announced() {
    let (world, shop, credentials) = fixture::device().await;
    let terminal = json!(shop.terminal().id);
    let one = credentials.qr(&world, 10_000).await.transaction_id;
    let two = credentials.qr(&world, 20_000).await.transaction_id;
    let three = credentials.qr(&world, 30_000).await.transaction_id;
    let success = |id, amount, age_s| {
        let at = world.clock.now() - chrono::TimeDelta::seconds(age_s);
        tests::success(id, amount, &tests::acquirer::reference(), at)
    };
    for (id, amount, age_s, reason) in [
        (one, 10_000, 301, "window_over"),
        (two, 20_000, 0, "box_suspended"),
        (three, 30_000, 0, "no_box_bound"),
    ] {
        if reason == "box_suspended" {
            credentials.set_status(&world, "suspended").await;
        }
        if reason == "no_box_bound" {
            let path = format!("/admin/devices/{}/unbind", credentials.device_id);
            let _ = world.admin().act(&path, &json!({})).await;
        }
        let receipt = world.acquirer().send(&success(id, amount, age_s)).await;
        assert_eq!(receipt.expect(200).data()["status"], "paid");
        // One alert of the terminal, which says what holds now; whoever had seen the earlier reason sees this one.
        let alert = open_alert(&world, "unannounced_payment").await;
        assert_eq!(alert["subject"], terminal);
        assert_fields!(alert["details"], { "transaction_id": id, "reason": reason });
        assert_eq!(alert["acknowledged_at"], Value::Null);
        let path = format!("/admin/alerts/{}/acknowledge", text(&alert, "id"));
        let _ = world.admin().act(&path, &json!({})).await;
    }
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn money_that_is_assigned_to_a_terminal_without_a_box() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let mut body = shop.printed_payment(&world, 10_000);
    body.as_object_mut().unwrap().remove("terminal_label");
    let _ = world.acquirer().send(&body).await.expect(200);
    // Kept, and the merchant's boxes announced nothing.
    let alert = open_alert(&world, "unannounced_payment").await;
    assert_eq!(alert["subject"], json!(shop.merchant_id));
    assert_eq!(alert["details"]["reason"], "no_such_terminal");
    let money = open_money(&world).await.remove(0);
    let path = format!("/admin/unmatched-payments/{}/assign", text(&money, "id"));
    let terminal = json!({ "terminal_id": shop.terminal().id });
    let assigned = world.admin().act(&path, &terminal).await;
    let alerts = open_alerts(&world, "unannounced_payment").await;
    let alert = alerts
        .iter()
        .find(|alert| alert["subject"] == json!(shop.terminal().id))
        .unwrap_or_else(|| panic!("{alerts:?}"));
    let id = &assigned["transaction_id"];
    assert_fields!(alert["details"], { "reason": "no_box_bound", "transaction_id": id });
}
