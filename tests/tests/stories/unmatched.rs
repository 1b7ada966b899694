//! Unmatched money and contradicting messages: what operators do about them.

use crate::view::{open_alerts, open_money as open, transaction};
use tests::acquirer::static_success;
use tests::prelude::*;

/// A payment of a printed code with an unknown terminal.
fn stray(world: &World, nmid: &str, reference: &str) -> Value {
    static_success(nmid, "T99", 40_000, reference, world.clock.now())
}

async fn assign(world: &World, money: &Value, terminal: &impl serde::Serialize) -> Answer {
    let finance = world.staff(Role::Finance).await;
    let path = format!("/admin/unmatched-payments/{}/assign", text(money, "id"));
    let to = json!({ "terminal_id": terminal });
    finance.post(&path, &to).await
}

#[tokio::test]
async fn fresh_money_that_is_assigned_is_announced_as_delayed() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let callback = stray(&world, &shop.nmid, "stray-1");
    assert_eq!(world.acquirer().verdict(&callback).await, "unmatched");
    let money = open(&world).await.remove(0);
    assert_fields!(money, { "amount": 40_000, "reason": "no_such_terminal" });
    assert_eq!(money["transaction_id"], json!(null));

    let assigned = assign(&world, &money, &shop.terminal().id).await;
    let assigned = assigned.expect(200).data();
    assert_eq!(assigned["status"], "assigned");
    let id = text(&assigned, "transaction_id").parse().unwrap();
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 40_000));
    // It is spoken as a delayed one.
    assert!(heard.delayed_after <= heard.sent_at);
    let paid = transaction(&world, id).await;
    assert_fields!(paid, { "status": "paid", "net": 39_720 });
    assert_eq!(paid["partner_reference"], "stray-1");
    ledger::must_balance(&world.pool).await;

    // Only once. A repetition of the partner is the same payment, and its reversal reverses the transaction.
    assign(&world, &money, &shop.terminal().id)
        .await
        .refused(INVALID_STATE);
    assert!(open(&world).await.is_empty());
    assert_eq!(world.acquirer().verdict(&callback).await, "duplicate");
    let back = but_status(callback, "reversed");
    assert_eq!(world.acquirer().verdict(&back).await, "accepted");
    assert_eq!(transaction(&world, id).await["status"], "reversed");
    ledger::must_balance(&world.pool).await;
    let events = format!("/admin/transactions/{id}/events");
    let events = world.admin().list(&events).await;
    assert_eq!(texts(&events, "to_status"), ["paid", "reversed"]);
    assert_eq!(texts(&events, "cause"), ["assigned", "callback"]);
}

#[tokio::test]
async fn old_money_that_is_assigned_is_not_announced() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let callback = stray(&world, &shop.nmid, "stray-1");
    let _ = world.acquirer().send(&callback).await.expect(200);
    world.later(301);
    let money = open(&world).await.remove(0);
    let assigned = assign(&world, &money, &shop.terminal().id).await;
    let _ = assigned.expect(200);
    let stale = "notifications WHERE status = 'stale' AND reason = 'window_over'";
    assert_eq!(world.rows(stale).await, 1);
    let alerts = open_alerts(&world, "unannounced_payment").await;
    let reasons = alerts.iter().map(|alert| &alert["details"]["reason"]);
    assert!(
        reasons.eq(["window_over", "no_such_terminal"]),
        "{alerts:?}"
    );
    let next = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn money_goes_to_no_other_merchant_than_the_partner_says() {
    let (world, shop) = fixture::shop().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let callback = stray(&world, &shop.nmid, "stray-1");
    let _ = world.acquirer().send(&callback).await.expect(200);
    // Money of another partner, which holds nothing for this merchant.
    let callback = stray(&world, &shop.nmid, "stray-2");
    let _ = world.another_acquirer().send(&callback).await.expect(200);
    let before = Snapshot::take(&world.pool).await;
    for money in open(&world).await {
        assign(&world, &money, &other.terminal().id)
            .await
            .refused(INVALID_STATE);
        assign(&world, &money, &"term_0190f3a1c0de7abc8def0123456789ab")
            .await
            .refused(TERMINAL_NOT_FOUND);
        if money["partner_id"] == "rival" {
            assign(&world, &money, &shop.terminal().id)
                .await
                .refused(INVALID_STATE);
        }
    }
    let mut changed = before.changes(&world.pool).await;
    changed.retain(|table, _| !["audit_logs", "tokens"].contains(&table.as_str()));
    assert!(changed.is_empty(), "{changed:?}");
}

#[tokio::test]
async fn kept_money_that_is_taken_back_can_not_be_assigned() {
    let (world, shop) = fixture::shop().await;
    let paid = stray(&world, &shop.nmid, "stray-1");
    let back = but_status(paid.clone(), "reversed");
    let _ = world.acquirer().send(&paid).await.expect(200);
    let money = open(&world).await.remove(0);
    assert_eq!(world.acquirer().verdict(&back).await, "accepted");
    assign(&world, &money, &shop.terminal().id)
        .await
        .refused(INVALID_STATE);
    // A repetition of the payment does not open it again.
    assert_eq!(world.acquirer().verdict(&paid).await, "unmatched");
    assert!(open(&world).await.is_empty());
    assert_eq!(world.rows("transactions").await, 0);
}

#[tokio::test]
async fn an_incident_is_closed_once_with_what_was_found_out() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let id = soundbox.credentials.sell(&world, 50_000).await;
    let wrong = tests::success(id, 60_000, "ref-9", world.clock.now());
    assert_eq!(world.acquirer().send(&wrong).await.status, 409);
    let support = world.staff(Role::Support).await;
    let list = support.read("/admin/incidents").await;
    assert_fields!(list[0], { "kind": "amount_mismatch", "transaction_id": id });
    let path = format!("/admin/incidents/{}/resolve", text(&list[0], "id"));
    let finance = world.staff(Role::Finance).await;
    let empty = json!({ "resolution": "" });
    assert_refused!(finance.post(&path, &empty), VALIDATION_FAILED);
    let resolution = json!({ "resolution": "a typing error at the bank" });
    let closed = finance.act(&path, &resolution).await;
    assert_eq!(closed["resolution"], "a typing error at the bank");
    assert!(closed["resolved_by"].is_string() && closed["resolved_at"].is_string());
    finance
        .post(&path, &resolution)
        .await
        .refused(INVALID_STATE);
    let left = "/admin/incidents?resolved=false";
    assert_eq!(world.admin().read(left).await, json!([]));
}
