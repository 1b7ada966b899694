//! What somebody has to look at.

use chrono::{FixedOffset, TimeDelta};
use domain::role::Role;
use serde_json::{Value, json};
use tests::http_box::HttpBox;
use tests::{Credentials, Shop, Soundbox, World, eventually};
use wire::DeviceId;

/// A world that looks every second, and in which shops never close.
async fn world() -> World {
    World::with(|config| {
        config.health.check_interval_s = 1;
        config.health.trading_hours = "00:00-00:00".to_owned();
    })
    .await
}

async fn alerts(world: &World, query: &str) -> Vec<Value> {
    let path = format!("/admin/alerts?{query}");
    let data = world.admin().get(&path).await.expect(200).data();
    data.as_array().unwrap().clone()
}

/// Waits for the one alert of this kind for this box to be in this state.
async fn becomes(world: &World, kind: &str, device_id: DeviceId, state: &str) -> Value {
    eventually(&format!("{kind} {state}"), || async {
        let mut found = alerts(
            world,
            &format!("kind={kind}&device_id={device_id}&state={state}"),
        )
        .await;
        found.pop()
    })
    .await
}

/// A beat with this much battery.
async fn beat(world: &World, soundbox: &HttpBox, battery_level: u8) {
    let mut beat = soundbox.sign_of_life();
    beat["battery_level"] = json!(battery_level);
    let api = soundbox.credentials.api(world);
    let _ = api.post("/device/heartbeat", &beat).await.expect(200);
}

/// Returns when a whole look has been taken at what is so now: a box's battery runs low, and that is seen last but one.
async fn a_look_passes(world: &World) {
    let canary = HttpBox::with(world, Credentials::unbound(world).await);
    beat(world, &canary, 1).await;
    becomes(world, "battery_low", canary.credentials.device_id, "open").await;
}

#[tokio::test]
async fn a_box_that_is_away_is_missed_while_its_shop_is_open_and_only_then() {
    let jakarta = FixedOffset::east_opt(7 * 3600).unwrap();
    let world = World::with(|config| {
        config.health.check_interval_s = 1;
        // The shop opens in three hours, for two.
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
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let device_id = soundbox.credentials.device_id;
    let away = soundbox.switch_off().await;
    away.is_missed(&world).await;
    world.later(1_800);
    a_look_passes(&world).await;
    let none = alerts(&world, &format!("device_id={device_id}")).await;
    assert_eq!(none, [] as [Value; 0], "its shop is closed");
    world.later(2 * 3_600 + 2_400);
    let alert = becomes(&world, "offline", device_id, "open").await;
    assert_eq!(alert["merchant_id"], json!(shop.merchant_id));
    assert_eq!(alert["closed_at"], Value::Null);
    let back = away.come_back(&world).await;
    let closed = becomes(&world, "offline", device_id, "closed").await;
    assert_eq!(closed["id"], alert["id"]);
    // Away again until the shop closes: then nobody misses it.
    let away = back.switch_off().await;
    away.is_missed(&world).await;
    world.later(600);
    becomes(&world, "offline", device_id, "open").await;
    world.later(2 * 3_600);
    a_look_passes(&world).await;
    let open = alerts(&world, &format!("device_id={device_id}&state=open")).await;
    assert_eq!(open, [] as [Value; 0]);
}

#[tokio::test]
async fn a_payment_that_is_not_heard_is_one_alert_until_the_box_speaks_again() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let credentials = soundbox.credentials.clone();
    let device_id = credentials.device_id;
    let away = soundbox.switch_off().await;
    let sold = credentials.sell(&world, 10_000).await;
    world.later(11);
    let alert = becomes(&world, "unheard_payment", device_id, "open").await;
    assert_eq!(alert["details"]["transaction_id"], json!(sold));
    // Another one is the same trouble.
    credentials.sell(&world, 20_000).await;
    world.later(11);
    a_look_passes(&world).await;
    let all = alerts(
        &world,
        &format!("kind=unheard_payment&device_id={device_id}"),
    )
    .await;
    assert_eq!(all.len(), 1);
    let mut soundbox = away.come_back(&world).await;
    soundbox.play().await;
    soundbox.play().await;
    let closed = becomes(&world, "unheard_payment", device_id, "closed").await;
    assert_eq!(closed["id"], alert["id"]);
    // A sentence that failed is told of once, and not again when the next one was heard.
    credentials.sell(&world, 30_000).await;
    let failed = soundbox.hear().await;
    let status = wire::message::AckStatus::Failed;
    soundbox.acknowledge(failed.event_id, status).await;
    world.later(11);
    let second = becomes(&world, "unheard_payment", device_id, "open").await;
    assert_eq!(
        second["details"]["transaction_id"],
        json!(failed.transaction_id)
    );
    credentials.sell(&world, 40_000).await;
    soundbox.play().await;
    eventually("the end of it", || async {
        let open = alerts(&world, "kind=unheard_payment&state=open").await;
        open.is_empty().then_some(())
    })
    .await;
    a_look_passes(&world).await;
    let all = alerts(
        &world,
        &format!("kind=unheard_payment&device_id={device_id}"),
    )
    .await;
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn a_battery_that_runs_low_is_told_of_until_it_is_charged() {
    let world = world().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    let device_id = soundbox.credentials.device_id;
    beat(&world, &soundbox, 15).await;
    let alert = becomes(&world, "battery_low", device_id, "open").await;
    assert_eq!(alert["details"]["battery_level"], json!(15));
    // A little more is not yet well.
    beat(&world, &soundbox, 17).await;
    a_look_passes(&world).await;
    becomes(&world, "battery_low", device_id, "open").await;
    beat(&world, &soundbox, 60).await;
    becomes(&world, "battery_low", device_id, "closed").await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_of_while_the_box_is_in_service() {
    let world = World::with(|config| {
        config.health.check_interval_s = 1;
        config.pki.device_certificate_days = 10;
    })
    .await;
    let credentials = Credentials::unbound(&world).await;
    let alert = becomes(
        &world,
        "certificate_expiring",
        credentials.device_id,
        "open",
    )
    .await;
    let view = credentials.view(&world).await;
    assert_eq!(
        alert["details"]["certificate_serial"],
        view["certificate"]["serial"]
    );
    let path = format!("/admin/devices/{}", credentials.device_id);
    let retired = json!({ "status": "retired" });
    let _ = world.admin().patch(&path, &retired).await.expect(200);
    becomes(
        &world,
        "certificate_expiring",
        credentials.device_id,
        "closed",
    )
    .await;
}

#[tokio::test]
async fn a_box_that_comes_and_goes_is_told_of_until_it_stays() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let credentials = soundbox.credentials.clone();
    for flip in 0..3 {
        let away = soundbox.switch_off().await;
        eventually("the box being away", || async {
            (credentials.view(&world).await["online"] == json!(false)).then_some(flip)
        })
        .await;
        soundbox = away.come_back(&world).await;
    }
    let alert = becomes(&world, "flapping", credentials.device_id, "open").await;
    assert!(alert["details"]["flips"].as_i64().unwrap() >= 6);
    world.later(601);
    becomes(&world, "flapping", credentials.device_id, "closed").await;
}

#[tokio::test]
async fn whoever_knows_of_an_alert_says_so_and_it_is_closed_when_it_is_over() {
    let world = world().await;
    let soundbox = HttpBox::with(&world, Credentials::unbound(&world).await);
    let device_id = soundbox.credentials.device_id;
    beat(&world, &soundbox, 3).await;
    let alert = becomes(&world, "battery_low", device_id, "open").await;
    let path = format!(
        "/admin/alerts/{}/acknowledge",
        alert["id"].as_str().unwrap()
    );
    let ops = world.staff(Role::Ops).await;
    let known = ops.post(&path, &json!({})).await.expect(200).data();
    assert_eq!(known["state"], "open");
    let by = known["acknowledged_by"].clone();
    assert!(by.is_string());
    // The first one stays.
    let again = world
        .admin()
        .post(&path, &json!({}))
        .await
        .expect(200)
        .data();
    assert_eq!(again["acknowledged_by"], by);
    let query = format!("acknowledged=true&state=open&device_id={device_id}");
    assert_eq!(alerts(&world, &query).await.len(), 1);
    let support = world.staff(Role::Support).await;
    support
        .post(&path, &json!({}))
        .await
        .refused(403, "FORBIDDEN");
    let _ = support.get("/admin/alerts").await.expect(200);
    ops.post(
        "/admin/alerts/alr_0190f3a1c0de7abc8def0123456789ab/acknowledge",
        &json!({}),
    )
    .await
    .refused(404, "ALERT_NOT_FOUND");
    ops.get("/admin/alerts?kind=tired")
        .await
        .refused(422, "VALIDATION_FAILED");
    let summary = ops.get("/admin/devices/summary").await.expect(200).data();
    assert_eq!(
        summary["alerts"],
        json!([{ "kind": "battery_low", "open": 1 }])
    );
    assert_eq!(summary["battery_low"], json!(1));
    assert_eq!(summary["firmware"][0]["firmware_version"], "1.0.3");
    beat(&world, &soundbox, 80).await;
    let closed = becomes(&world, "battery_low", device_id, "closed").await;
    assert_eq!(closed["acknowledged_by"], by);
}

/// Waits for the one alert of this kind for this partner to be in this state.
async fn of_partner(world: &World, kind: &str, state: &str) -> Value {
    eventually(&format!("{kind} {state}"), || async {
        let mut found = alerts(world, &format!("kind={kind}&state={state}")).await;
        found.pop()
    })
    .await
}

#[tokio::test]
async fn money_that_nobody_can_attribute_is_one_alert_until_it_is_assigned() {
    let world = world().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    for number in 1..=2 {
        let stray = json!({
            "event_id": format!("e-{number}"), "nmid": shop.nmid, "terminal_label": "T99",
            "partner_reference": format!("stray-{number}"), "amount": 40_000, "currency": "IDR",
            "status": "success", "paid_at": world.clock.now(),
        });
        let told = world.acquirer().tell(&stray).await.data();
        assert_eq!(told["verdict"], "unmatched");
    }
    let alert = of_partner(&world, "unmatched_payment", "open").await;
    assert!(alert["subject"].as_str().unwrap().starts_with("partner:"));
    assert_eq!(alert["device_id"], Value::Null);
    assert_eq!(alert["details"]["reason"], "no_such_terminal");
    assert_eq!(alerts(&world, "kind=unmatched_payment").await.len(), 1);

    let finance = world.staff(Role::Finance).await;
    let open = world
        .admin()
        .get("/admin/unmatched-payments?status=open")
        .await
        .expect(200)
        .data();
    for money in open.as_array().unwrap() {
        let path = format!(
            "/admin/unmatched-payments/{}/assign",
            money["id"].as_str().unwrap()
        );
        let body = json!({ "terminal_id": shop.till().id });
        let _ = finance.post(&path, &body).await.expect(200);
    }
    let closed = of_partner(&world, "unmatched_payment", "closed").await;
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
    first.is_missed(&world).await;
    let alone = alone.switch_off().await;
    alone.is_missed(&world).await;
    world.later(301);
    let alert = becomes(&world, "offline", ids[0], "open").await;
    assert_eq!(
        alert["subject"],
        json!(many),
        "the terminal has several boxes"
    );
    assert_eq!(alert["terminal_id"], json!(many));
    assert_eq!(alert["merchant_id"], json!(shop.merchant_id));
    let names = |alert: &Value| -> Vec<Value> {
        let devices = alert["details"]["devices"].as_array().unwrap();
        devices.iter().map(|one| one["device_id"].clone()).collect()
    };
    assert_eq!(names(&alert), [json!(ids[0])]);
    let of_one = becomes(&world, "offline", ids[2], "open").await;
    assert_eq!(of_one["subject"], json!(ids[2]), "the terminal has one box");

    // The second one is a part of the same outage.
    let second = second.switch_off().await;
    second.is_missed(&world).await;
    world.later(301);
    let grown = eventually("both boxes are listed", || async {
        let open = alerts(
            &world,
            &format!("kind=offline&device_id={}&state=open", ids[1]),
        )
        .await;
        open.into_iter().find(|alert| names(alert).len() == 2)
    })
    .await;
    assert_eq!(grown["id"], alert["id"]);
    assert_eq!(grown["details"]["away"], json!(2));
    let all = alerts(&world, "kind=offline").await;
    assert_eq!(all.len(), 2, "{all:?}");

    // One is back: the outage goes on with the other.
    let _first = first.come_back(&world).await;
    let shrunk = eventually("one box is listed", || async {
        let open = alerts(
            &world,
            &format!("kind=offline&device_id={}&state=open", ids[1]),
        )
        .await;
        open.into_iter().find(|alert| names(alert).len() == 1)
    })
    .await;
    assert_eq!(
        (&shrunk["id"], names(&shrunk)),
        (&alert["id"], vec![json!(ids[1])])
    );
    let _second = second.come_back(&world).await;
    let closed = becomes(&world, "offline", ids[1], "closed").await;
    assert_eq!(closed["id"], alert["id"]);
}
