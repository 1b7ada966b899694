//! Money that came and could not be attributed, and messages that contradict: what operators do about them.

use domain::role::Role;
use serde_json::{Value, json};
use tests::acquirer::but_status;
use tests::books::{self, Books};
use tests::{Answer, Shop, Soundbox, World};

use crate::view::{open_alerts, transaction};

/// A payment on a printed code whose till nobody knows.
fn stray(world: &World, nmid: &str, reference: &str) -> Value {
    json!({
        "event_id": format!("e-{reference}"), "nmid": nmid, "terminal_label": "T99", "partner_reference": reference,
        "amount": 40_000, "currency": "IDR", "status": "success", "paid_at": world.clock.now(),
    })
}

async fn open(world: &World) -> Vec<Value> {
    let path = "/admin/unmatched-payments?status=open";
    let list = world.admin().get(path).await.expect(200).data();
    list.as_array().unwrap().clone()
}

async fn assign(world: &World, money: &Value, terminal: &impl serde::Serialize) -> Answer {
    let finance = world.staff(Role::Finance).await;
    let path = format!(
        "/admin/unmatched-payments/{}/assign",
        money["id"].as_str().unwrap()
    );
    finance
        .post(&path, &json!({ "terminal_id": terminal }))
        .await
}

#[tokio::test]
async fn fresh_money_that_is_assigned_is_announced_as_delayed() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let told = stray(&world, &shop.nmid, "stray-1");
    assert_eq!(
        world.acquirer().tell(&told).await.data()["verdict"],
        "unmatched"
    );
    let money = open(&world).await.remove(0);
    assert_eq!(
        (&money["amount"], &money["reason"]),
        (&json!(40_000), &json!("no_such_terminal"))
    );
    assert_eq!(money["transaction_id"], json!(null));

    let assigned = assign(&world, &money, &shop.till().id)
        .await
        .expect(200)
        .data();
    assert_eq!(assigned["status"], "assigned");
    let id = assigned["transaction_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 40_000));
    assert!(
        heard.delayed_after <= heard.sent_at,
        "it is spoken as a delayed one"
    );
    let paid = transaction(&world, id).await;
    assert_eq!(
        (&paid["status"], &paid["net"]),
        (&json!("paid"), &json!(39_720))
    );
    assert_eq!(paid["partner_reference"], "stray-1");
    books::must_balance(&world.pool).await;

    // Once. The partner's repetition is the same payment, and its reversal takes back the transaction.
    assign(&world, &money, &shop.till().id)
        .await
        .refused(409, "INVALID_STATE");
    assert!(open(&world).await.is_empty());
    assert_eq!(
        world.acquirer().tell(&told).await.data()["verdict"],
        "duplicate"
    );
    let back = but_status(told, "reversed");
    assert_eq!(
        world.acquirer().tell(&back).await.data()["verdict"],
        "accepted"
    );
    assert_eq!(transaction(&world, id).await["status"], "reversed");
    books::must_balance(&world.pool).await;
    let events = format!("/admin/transactions/{id}/events");
    let events = world.admin().get(&events).await.expect(200).data();
    let steps: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["to_status"].as_str().unwrap(),
                event["cause"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(steps, [("paid", "assigned"), ("reversed", "callback")]);
}

#[tokio::test]
async fn old_money_that_is_assigned_is_not_announced() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let _ = world
        .acquirer()
        .tell(&stray(&world, &shop.nmid, "stray-1"))
        .await
        .expect(200);
    world.later(301);
    let money = open(&world).await.remove(0);
    let _ = assign(&world, &money, &shop.till().id).await.expect(200);
    let stale =
        "SELECT count(*) FROM notifications WHERE status = 'stale' AND reason = 'window_over'";
    assert_eq!(books::count(&world.pool, stale).await, 1);
    let alerts = open_alerts(&world, "unannounced_payment").await;
    let reasons: Vec<_> = alerts
        .iter()
        .map(|alert| &alert["details"]["reason"])
        .collect();
    assert_eq!(reasons, ["window_over", "no_such_terminal"]);
    let next = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn money_goes_to_no_other_merchant_than_the_partner_says() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let _ = world
        .acquirer()
        .tell(&stray(&world, &shop.nmid, "stray-1"))
        .await
        .expect(200);
    // Another partner's money, which is not held for any merchant here.
    let _ = world
        .another_acquirer()
        .tell(&stray(&world, &shop.nmid, "stray-2"))
        .await
        .expect(200);
    let before = Books::open(&world.pool).await;
    for money in open(&world).await {
        assign(&world, &money, &other.till().id)
            .await
            .refused(409, "INVALID_STATE");
        assign(&world, &money, &"term_0190f3a1c0de7abc8def0123456789ab")
            .await
            .refused(404, "TERMINAL_NOT_FOUND");
        if money["partner_id"] == "rival" {
            assign(&world, &money, &shop.till().id)
                .await
                .refused(409, "INVALID_STATE");
        }
    }
    let changed = before.changes(&world.pool).await;
    let expected = ["audit_logs", "tokens"];
    assert!(
        changed
            .keys()
            .all(|table| expected.contains(&table.as_str())),
        "{changed:?}"
    );
}

#[tokio::test]
async fn kept_money_that_is_taken_back_can_not_be_assigned() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let told = stray(&world, &shop.nmid, "stray-1");
    let back = but_status(told.clone(), "reversed");
    let _ = world.acquirer().tell(&told).await.expect(200);
    let money = open(&world).await.remove(0);
    assert_eq!(
        world.acquirer().tell(&back).await.data()["verdict"],
        "accepted"
    );
    assign(&world, &money, &shop.till().id)
        .await
        .refused(409, "INVALID_STATE");
    // Nor does it come back by being told again.
    assert_eq!(
        world.acquirer().tell(&told).await.data()["verdict"],
        "unmatched"
    );
    assert!(open(&world).await.is_empty());
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM transactions").await,
        0
    );
}

#[tokio::test]
async fn an_incident_is_closed_once_with_what_was_found_out() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let id = soundbox.credentials.sell(&world, 50_000).await;
    let wrong = tests::success(id, 60_000, "ref-9", world.clock.now());
    assert_eq!(world.acquirer().tell(&wrong).await.status, 409);
    let list = world
        .staff(Role::Support)
        .await
        .get("/admin/incidents")
        .await
        .expect(200)
        .data();
    assert_eq!(list[0]["kind"], "amount_mismatch");
    assert_eq!(list[0]["transaction_id"], json!(id));
    let path = format!(
        "/admin/incidents/{}/resolve",
        list[0]["id"].as_str().unwrap()
    );
    let finance = world.staff(Role::Finance).await;
    finance
        .post(&path, &json!({ "resolution": "" }))
        .await
        .refused(422, "VALIDATION_FAILED");
    let said = json!({ "resolution": "a typing error at the bank" });
    let closed = finance.post(&path, &said).await.expect(200).data();
    assert_eq!(closed["resolution"], "a typing error at the bank");
    assert!(closed["resolved_by"].is_string() && closed["resolved_at"].is_string());
    finance
        .post(&path, &said)
        .await
        .refused(409, "INVALID_STATE");
    let left = world
        .admin()
        .get("/admin/incidents?resolved=false")
        .await
        .data();
    assert_eq!(left, json!([]));
}
