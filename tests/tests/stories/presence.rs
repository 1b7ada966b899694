//! Who is there, and since when.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tests::http_box::HttpBox;
use tests::{Credentials, Shop, Soundbox, World, eventually};

/// The comings and goings of a box, oldest first.
async fn flips(world: &World, credentials: &Credentials) -> Vec<Value> {
    let path = format!("/admin/devices/{}/events", credentials.device_id);
    let mut events = world
        .admin()
        .get(&path)
        .await
        .expect(200)
        .data()
        .as_array()
        .unwrap()
        .clone();
    events.reverse();
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect()
}

async fn becomes(world: &World, credentials: &Credentials, online: bool) {
    eventually("the flip", || async {
        (credentials.view(world).await["online"] == json!(online)).then_some(())
    })
    .await;
}

fn time(value: &Value) -> DateTime<Utc> {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test]
async fn a_box_on_mqtt_is_there_while_its_session_lives() {
    let world = World::new().await;
    let soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let credentials = soundbox.credentials.clone();
    becomes(&world, &credentials, true).await;
    // It may be as silent as it likes: its session tells.
    world.later(600);
    // A beat over HTTP makes it no more and no less there.
    let by_http = HttpBox::with(&world, credentials.clone());
    by_http.beat(0).await;
    let away = soundbox.switch_off().await;
    becomes(&world, &credentials, false).await;
    by_http.beat(0).await;
    assert_eq!(credentials.view(&world).await["online"], json!(false));
    let _back = away.come_back(&world).await;
    becomes(&world, &credentials, true).await;
    let events = flips(&world, &credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online"]);
    assert!(events[1]["details"]["reason"].is_string());
}

#[tokio::test]
async fn a_platform_that_stops_leaves_nobody_online() {
    let mut world = World::new().await;
    let mut boxes = Vec::new();
    for _ in 0..5 {
        let soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
        becomes(&world, &soundbox.credentials, true).await;
        boxes.push(soundbox);
    }
    world.stop().await;
    // Before anything has started again.
    let online: i64 = sqlx::query_scalar("SELECT count(*) FROM device_presence WHERE online")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(online, 0);
    let connected: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions WHERE connected")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(connected, 0);
    world.start().await;
    for soundbox in boxes {
        let events = flips(&world, &soundbox.credentials).await;
        assert_eq!(kinds(&events), ["online", "offline"]);
        // Which is why it is not held against the box, as a coming and going of its own.
        assert_eq!(events[1]["details"]["reason"], "platform_restart");
    }
}

#[tokio::test]
async fn a_box_on_http_is_there_while_its_last_beat_is_younger_than_three_of_its_intervals() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    let credentials = soundbox.credentials.clone();
    assert_eq!(credentials.view(&world).await["online"], json!(false));
    soundbox.beat(0).await;
    let seen = credentials.view(&world).await;
    assert_eq!(seen["online"], json!(true));
    world.later(89);
    soundbox.beat(0).await;
    let seen = time(&credentials.view(&world).await["last_seen_at"]);
    world.later(60);
    world.later(31);
    becomes(&world, &credentials, false).await;
    soundbox.beat(0).await;
    becomes(&world, &credentials, true).await;
    let events = flips(&world, &credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online"]);
    assert!(time(&events[1]["at"]) - seen >= TimeDelta::seconds(90));
    assert_eq!(events[1]["details"]["reason"], "no_beat");
}

#[tokio::test]
async fn another_way_of_communicating_is_another_rule_at_once() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    soundbox.beat(0).await;
    assert_eq!(
        soundbox.credentials.view(&world).await["online"],
        json!(true)
    );
    soundbox.goes_by(&world, "mqtt").await;
    assert_eq!(
        soundbox.credentials.view(&world).await["online"],
        json!(false),
        "it has no session"
    );
    soundbox.goes_by(&world, "http").await;
    assert_eq!(
        soundbox.credentials.view(&world).await["online"],
        json!(true),
        "it has just beaten"
    );
    // The end of a session is nothing to a box on HTTP.
    let session = Soundbox::switch_on(&world, soundbox.credentials.clone()).await;
    session.switch_off().await;
    soundbox.beat(0).await;
    let path = format!("/admin/devices/{}", soundbox.credentials.device_id);
    let suspended = json!({ "status": "suspended" });
    let view = world
        .admin()
        .patch(&path, &suspended)
        .await
        .expect(200)
        .data();
    assert_eq!(view["online"], json!(false), "out of service");
    let events = flips(&world, &soundbox.credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online", "offline"]);
}

#[tokio::test]
async fn the_history_is_listed_page_by_page_and_by_kind() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = HttpBox::at(&world, shop.till().id).await;
    soundbox.beat(0).await;
    for _ in 0..3 {
        soundbox.goes_by(&world, "mqtt").await;
        soundbox.goes_by(&world, "http").await;
    }
    let admin = world.admin();
    let path = format!("/admin/devices/{}/events", soundbox.credentials.device_id);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin
            .get(&format!("{path}?limit=2{cursor}"))
            .await
            .expect(200)
            .json();
        seen.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(
        seen.windows(2)
            .all(|pair| time(&pair[0]["at"]) >= time(&pair[1]["at"]))
    );
    let only = admin.get(&format!("{path}?kind=offline")).await.expect(200);
    assert_eq!(only.data().as_array().unwrap().len(), 3);
    admin
        .get("/admin/devices/sbx_0190f3a1c0de7abc8def0123456789ab/events")
        .await
        .refused(404, "DEVICE_NOT_FOUND");
}
