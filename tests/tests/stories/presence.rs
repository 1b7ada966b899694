//! Which boxes are online, and since when.

use chrono::{DateTime, TimeDelta, Utc};
use tests::prelude::*;

/// The online and offline events of a box, oldest first.
async fn flips(world: &World, credentials: &Credentials) -> Vec<Value> {
    let path = format!("/admin/devices/{}/events", credentials.device_id);
    let mut events = world.admin().list(&path).await;
    events.reverse();
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["kind"].as_str().unwrap());
    kinds.collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test]
async fn a_box_on_mqtt_is_online_while_its_session_lasts() {
    let world = World::new().await;
    let soundbox = Soundbox::unbound(&world).await;
    let credentials = soundbox.credentials.clone();
    credentials.wait_for_online(&world, true).await;
    // Without heartbeats it stays online: its session counts.
    world.later(600);
    // A heartbeat over HTTP changes nothing.
    let by_http = HttpBox::with(&world, credentials.clone());
    by_http.heartbeat(0).await;
    let away = soundbox.switch_off().await;
    credentials.wait_for_online(&world, false).await;
    by_http.heartbeat(0).await;
    assert_eq!(credentials.view(&world).await["online"], json!(false));
    let _back = away.reconnect(&world).await;
    credentials.wait_for_online(&world, true).await;
    let events = flips(&world, &credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online"]);
    assert!(events[1]["details"]["reason"].is_string());
}

#[tokio::test]
async fn a_platform_that_stops_leaves_no_box_online() {
    let mut world = World::new().await;
    let mut boxes = Vec::new();
    for _ in 0..5 {
        let soundbox = Soundbox::unbound(&world).await;
        soundbox.credentials.wait_for_online(&world, true).await;
        boxes.push(soundbox);
    }
    world.stop().await;
    // Before the next start.
    assert_eq!(world.rows("device_presence WHERE online").await, 0);
    assert_eq!(world.rows("sessions WHERE connected").await, 0);
    world.start().await;
    for soundbox in boxes {
        let events = flips(&world, &soundbox.credentials).await;
        assert_eq!(kinds(&events), ["online", "offline"]);
        // So it does not count as flapping.
        assert_eq!(events[1]["details"]["reason"], "platform_restart");
    }
}

#[tokio::test]
async fn a_box_on_http_is_online_for_three_heartbeat_intervals() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let credentials = soundbox.credentials.clone();
    assert_eq!(credentials.view(&world).await["online"], json!(false));
    soundbox.heartbeat(0).await;
    let seen = credentials.view(&world).await;
    assert_eq!(seen["online"], json!(true));
    world.later(89);
    soundbox.heartbeat(0).await;
    let seen = time(&credentials.view(&world).await["last_seen_at"]);
    world.later(60);
    world.later(31);
    credentials.wait_for_online(&world, false).await;
    soundbox.heartbeat(0).await;
    credentials.wait_for_online(&world, true).await;
    let events = flips(&world, &credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online"]);
    assert!(time(&events[1]["at"]) - seen >= TimeDelta::seconds(90));
    assert_eq!(events[1]["details"]["reason"], "no_beat");
}

#[tokio::test]
async fn another_way_of_communicating_is_another_rule_at_once() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    soundbox.heartbeat(0).await;
    let online = async || soundbox.credentials.view(&world).await["online"] == true;
    assert!(online().await);
    soundbox.set_communication_mode(&world, "mqtt").await;
    assert!(!online().await, "it has no session");
    soundbox.set_communication_mode(&world, "http").await;
    assert!(online().await, "it has just sent a heartbeat");
    // The end of a session does not matter to a box on HTTP.
    let session = Soundbox::switch_on(&world, soundbox.credentials.clone()).await;
    session.switch_off().await;
    soundbox.heartbeat(0).await;
    let view = soundbox.credentials.set_status(&world, "suspended").await;
    assert_eq!(view["online"], json!(false), "out of service");
    let events = flips(&world, &soundbox.credentials).await;
    assert_eq!(kinds(&events), ["online", "offline", "online", "offline"]);
}

#[tokio::test]
async fn the_history_is_listed_page_by_page_and_by_kind() {
    let (world, shop) = fixture::shop().await;
    let soundbox = HttpBox::at(&world, shop.terminal().id).await;
    soundbox.heartbeat(0).await;
    for _ in 0..3 {
        soundbox.set_communication_mode(&world, "mqtt").await;
        soundbox.set_communication_mode(&world, "http").await;
    }
    let admin = world.admin();
    let path = format!("/admin/devices/{}/events", soundbox.credentials.device_id);
    let seen = admin.pages(&format!("{path}?limit=2")).await;
    assert_eq!(seen.len(), 7);
    assert!(
        seen.windows(2)
            .all(|pair| time(&pair[0]["at"]) >= time(&pair[1]["at"]))
    );
    let only = admin.list(&format!("{path}?kind=offline")).await;
    assert_eq!(only.len(), 3);
    let unknown = "/admin/devices/sbx_0190f3a1c0de7abc8def0123456789ab/events";
    admin.get(unknown).await.refused(DEVICE_NOT_FOUND);
}
