//! Alerts: when they open, and when they close.

use chrono::{FixedOffset, TimeDelta};
use tests::prelude::*;
use wire::DeviceId;

use crate::view::open_money;

/// A platform that checks every second, with trading hours all day.
async fn world() -> World {
    World::with(|config| {
        config.health.check_interval_s = 1;
        config.health.trading_hours = "00:00-00:00".to_owned();
    })
    .await
}

async fn alerts(world: &World, query: &str) -> Vec<Value> {
    let path = format!("/admin/alerts?{query}");
    world.admin().list(&path).await
}

/// Waits for the one alert of these (`kind=…`) to be in this state.
async fn one_becomes(world: &World, of: &str, state: &str) -> Value {
    eventually(&format!("{of} {state}"), || async {
        let mut found = alerts(world, &format!("{of}&state={state}")).await;
        found.pop()
    })
    .await
}

/// The same of this kind for this box.
async fn becomes(world: &World, kind: &str, device_id: DeviceId, state: &str) -> Value {
    one_becomes(world, &format!("kind={kind}&device_id={device_id}"), state).await
}

/// Sends a heartbeat with this battery level.
async fn heartbeat(world: &World, soundbox: &HttpBox, battery_level: u8) {
    let mut heartbeat = soundbox.heartbeat_body();
    heartbeat["battery_level"] = json!(battery_level);
    let api = soundbox.credentials.api(world);
    api.act("/device/heartbeat", &heartbeat).await;
}

/// Returns after a whole round of checks: the alert of a low battery is checked last but one.
async fn a_look_passes(world: &World) {
    let canary = HttpBox::with(world, Credentials::unbound(world).await);
    heartbeat(world, &canary, 1).await;
    becomes(world, "battery_low", canary.credentials.device_id, "open").await;
}

#[tokio::test]
async fn offline_alert_is_opened_in_trading_hours_only() {
    let jakarta = FixedOffset::east_opt(7 * 3600).unwrap();
    let world = World::with(|config| {
        config.health.check_interval_s = 1;
        // Trading hours begin in three hours and last for two.
        #[expect(
            clippy::disallowed_methods,
            reason = "the world's clock does not run yet"
        )]
        let now = chrono::Utc::now().with_timezone(&jakarta);
        let at = |hours| (now + TimeDelta::hours(hours)).format("%H:%M");
        config.health.trading_hours = format!("{}-{}", at(3), at(5));
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let device_id = soundbox.credentials.device_id;
    let away = soundbox.switch_off().await;
    away.wait_until_offline(&world).await;
    world.later(1_800);
    a_look_passes(&world).await;
    let none = alerts(&world, &format!("device_id={device_id}")).await;
    assert_eq!(none, [] as [Value; 0], "its shop is closed");
    world.later(2 * 3_600 + 2_400);
    let alert = becomes(&world, "offline", device_id, "open").await;
    assert_fields!(alert, { "merchant_id": shop.merchant_id, "closed_at": null });
    let back = away.reconnect(&world).await;
    let closed = becomes(&world, "offline", device_id, "closed").await;
    assert_eq!(closed["id"], alert["id"]);
    // Offline again until the end of the trading hours: then the alert closes.
    let away = back.switch_off().await;
    away.wait_until_offline(&world).await;
    world.later(600);
    becomes(&world, "offline", device_id, "open").await;
    world.later(2 * 3_600);
    a_look_passes(&world).await;
    let open = alerts(&world, &format!("device_id={device_id}&state=open")).await;
    assert_eq!(open, [] as [Value; 0]);
}

#[tokio::test]
async fn unheard_payment_alert_stays_open_until_the_box_plays_again() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let credentials = soundbox.credentials.clone();
    let device_id = credentials.device_id;
    let away = soundbox.switch_off().await;
    let sold = credentials.sell(&world, 10_000).await;
    world.later(11);
    let alert = becomes(&world, "unheard_payment", device_id, "open").await;
    assert_eq!(alert["details"]["transaction_id"], json!(sold));
    // Another unheard payment is the same alert.
    credentials.sell(&world, 20_000).await;
    world.later(11);
    a_look_passes(&world).await;
    let unheard = format!("kind=unheard_payment&device_id={device_id}");
    assert_eq!(alerts(&world, &unheard).await.len(), 1);
    let mut soundbox = away.reconnect(&world).await;
    soundbox.play().await;
    soundbox.play().await;
    let closed = becomes(&world, "unheard_payment", device_id, "closed").await;
    assert_eq!(closed["id"], alert["id"]);
    // A payment that failed opens one alert, which does not open again when the next payment was played.
    credentials.sell(&world, 30_000).await;
    let failed = soundbox.hear().await;
    let status = wire::message::AckStatus::Failed;
    soundbox.acknowledge(failed.event_id, status).await;
    world.later(11);
    let second = becomes(&world, "unheard_payment", device_id, "open").await;
    let named = &second["details"]["transaction_id"];
    assert_eq!(*named, json!(failed.transaction_id));
    credentials.sell(&world, 40_000).await;
    soundbox.play().await;
    eventually("the end of it", || async {
        let open = alerts(&world, "kind=unheard_payment&state=open").await;
        open.is_empty().then_some(())
    })
    .await;
    a_look_passes(&world).await;
    assert_eq!(alerts(&world, &unheard).await.len(), 2);
}

#[tokio::test]
async fn low_battery_alert_stays_open_until_the_battery_is_charged() {
    let world = world().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    let device_id = soundbox.credentials.device_id;
    heartbeat(&world, &soundbox, 15).await;
    let alert = becomes(&world, "battery_low", device_id, "open").await;
    assert_eq!(alert["details"]["battery_level"], json!(15));
    // A little more is not enough to close it.
    heartbeat(&world, &soundbox, 17).await;
    a_look_passes(&world).await;
    becomes(&world, "battery_low", device_id, "open").await;
    heartbeat(&world, &soundbox, 60).await;
    becomes(&world, "battery_low", device_id, "closed").await;
}

#[tokio::test]
async fn certificate_expiry_alert_stays_open_while_the_box_is_in_service() {
    let world = World::with(|config| {
        config.health.check_interval_s = 1;
        config.pki.device_certificate_days = 10;
    })
    .await;
    let credentials = Credentials::unbound(&world).await;
    let id = credentials.device_id;
    let alert = becomes(&world, "certificate_expiring", id, "open").await;
    let serial = &alert["details"]["certificate_serial"];
    let view = credentials.view(&world).await;
    assert_eq!(*serial, view["certificate"]["serial"]);
    credentials.set_status(&world, "retired").await;
    becomes(&world, "certificate_expiring", id, "closed").await;
}

#[tokio::test]
async fn flapping_alert_stays_open_until_the_box_stays_connected() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let credentials = soundbox.credentials.clone();
    for _ in 0..3 {
        let away = soundbox.switch_off().await;
        credentials.wait_for_online(&world, false).await;
        soundbox = away.reconnect(&world).await;
    }
    let alert = becomes(&world, "flapping", credentials.device_id, "open").await;
    assert!(alert["details"]["flips"].as_i64().unwrap() >= 6);
    world.later(601);
    becomes(&world, "flapping", credentials.device_id, "closed").await;
}

#[tokio::test]
async fn an_acknowledged_alert_is_closed_when_its_reason_is_over() {
    let world = world().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    let device_id = soundbox.credentials.device_id;
    heartbeat(&world, &soundbox, 3).await;
    let alert = becomes(&world, "battery_low", device_id, "open").await;
    let path = format!("/admin/alerts/{}/acknowledge", text(&alert, "id"));
    let ops = world.staff(Role::Ops).await;
    let known = ops.act(&path, &json!({})).await;
    assert_eq!(known["state"], "open");
    let by = known["acknowledged_by"].clone();
    assert!(by.is_string());
    // The first acknowledgement stays.
    let again = world.admin().act(&path, &json!({})).await;
    assert_eq!(again["acknowledged_by"], by);
    let query = format!("acknowledged=true&state=open&device_id={device_id}");
    assert_eq!(alerts(&world, &query).await.len(), 1);
    let support = world.staff(Role::Support).await;
    support.post(&path, &json!({})).await.refused(FORBIDDEN);
    support.read("/admin/alerts").await;
    let unknown = "/admin/alerts/alr_0190f3a1c0de7abc8def0123456789ab/acknowledge";
    assert_refused!(ops.post(unknown, &json!({})), ALERT_NOT_FOUND);
    assert_refused!(ops.get("/admin/alerts?kind=tired"), VALIDATION_FAILED);
    let summary = ops.read("/admin/devices/summary").await;
    assert_fields!(summary, { "alerts": [{ "kind": "battery_low", "open": 1 }], "battery_low": 1 });
    assert_eq!(summary["firmware"][0]["firmware_version"], "1.0.3");
    heartbeat(&world, &soundbox, 80).await;
    let closed = becomes(&world, "battery_low", device_id, "closed").await;
    assert_eq!(closed["acknowledged_by"], by);
}

#[tokio::test]
async fn unmatched_money_is_one_alert_until_it_is_assigned() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    for _ in 0..2 {
        let mut stray = shop.printed_payment(&world, 40_000);
        stray["terminal_label"] = json!("T99");
        assert_eq!(world.acquirer().verdict(&stray).await, "unmatched");
    }
    let alert = one_becomes(&world, "kind=unmatched_payment", "open").await;
    assert!(alert["subject"].as_str().unwrap().starts_with("partner:"));
    assert_eq!(alert["device_id"], Value::Null);
    assert_eq!(alert["details"]["reason"], "no_such_terminal");
    assert_eq!(alerts(&world, "kind=unmatched_payment").await.len(), 1);

    let finance = world.staff(Role::Finance).await;
    for money in &open_money(&world).await {
        let path = format!("/admin/unmatched-payments/{}/assign", text(money, "id"));
        let body = json!({ "terminal_id": shop.terminal().id });
        finance.act(&path, &body).await;
    }
    let closed = one_becomes(&world, "kind=unmatched_payment", "closed").await;
    assert_eq!(closed["id"], alert["id"]);
}

#[tokio::test]
async fn an_outage_of_a_terminal_with_several_boxes_is_one_alert_until_all_of_them_are_back() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let (many, single) = (shop.terminals[0].id, shop.terminals[1].id);
    let first = Soundbox::at(&world, many).await;
    let second = Soundbox::at(&world, many).await;
    let alone = Soundbox::at(&world, single).await;
    let ids = [&first, &second, &alone].map(|soundbox| soundbox.credentials.device_id);
    let first = first.switch_off().await;
    first.wait_until_offline(&world).await;
    let alone = alone.switch_off().await;
    alone.wait_until_offline(&world).await;
    world.later(301);
    let alert = becomes(&world, "offline", ids[0], "open").await;
    // The terminal has several boxes.
    assert_fields!(alert, { "subject": many, "terminal_id": many, "merchant_id": shop.merchant_id });
    let names = |alert: &Value| -> Vec<Value> {
        let devices = alert["details"]["devices"].as_array().unwrap();
        devices.iter().map(|one| one["device_id"].clone()).collect()
    };
    assert_eq!(names(&alert), [json!(ids[0])]);
    let of_one = becomes(&world, "offline", ids[2], "open").await;
    assert_eq!(of_one["subject"], json!(ids[2]), "the terminal has one box");

    // The second box is a part of the same outage.
    let second = second.switch_off().await;
    second.wait_until_offline(&world).await;
    world.later(301);
    let listed = async |count: usize| {
        let query = format!("kind=offline&device_id={}&state=open", ids[1]);
        eventually("so many boxes are listed", || async {
            let mut open = alerts(&world, &query).await.into_iter();
            open.find(|alert| names(alert).len() == count)
        })
        .await
    };
    let grown = listed(2).await;
    assert_eq!(grown["id"], alert["id"]);
    assert_eq!(grown["details"]["away"], json!(2));
    let all = alerts(&world, "kind=offline").await;
    assert_eq!(all.len(), 2, "{all:?}");

    // One box is back: the outage goes on with the other.
    let _first = first.reconnect(&world).await;
    let shrunk = listed(1).await;
    assert_eq!(shrunk["id"], alert["id"]);
    assert_eq!(names(&shrunk), [json!(ids[1])]);
    let _second = second.reconnect(&world).await;
    let closed = becomes(&world, "offline", ids[1], "closed").await;
    assert_eq!(closed["id"], alert["id"]);
}
