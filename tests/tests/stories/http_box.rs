//! A box on HTTP: its configuration, its acknowledgements, its heartbeats in the API.

use chrono::{DateTime, Utc};
use tests::prelude::*;
use wire::{Channel, DownlinkMessage};

#[tokio::test]
async fn heartbeats_are_listed_newest_first_and_by_time() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let api = credentials.api(&world);
    for battery_level in 1..=5 {
        world.later(60);
        let mut heartbeat = credentials.heartbeat_body();
        heartbeat["timestamp"] = json!("2026-05-23T10:00:00Z");
        heartbeat["battery_level"] = json!(battery_level);
        api.act("/device/heartbeat", &heartbeat).await;
    }
    let admin = world.admin();
    let path = format!("/admin/devices/{}/heartbeats", credentials.device_id);
    let levels = |page: &Value| -> Vec<i64> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["battery_level"].as_i64().unwrap())
            .collect()
    };
    let page = async |query: &str| {
        let page = admin.get(&format!("{path}?{query}")).await;
        page.expect(200).json()
    };
    let first = page("limit=2").await;
    assert_eq!(levels(&first), [5, 4]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = page(&format!("limit=3&cursor={cursor}")).await;
    assert_eq!(levels(&rest), [3, 2, 1]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let at = |index: usize| -> String {
        let time: DateTime<Utc> =
            serde_json::from_value(rest["data"][index]["received_at"].clone()).unwrap();
        time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    };
    // From the second to just before the third.
    let range = format!("from={}&to={}", at(1), at(0));
    assert_eq!(levels(&page(&range).await), [2]);
    assert_eq!(rest["data"][0]["timestamp"], "2026-05-23T10:00:00Z");
    let unknown = "/admin/devices/sbx_0190f3a1c0de7abc8def0123456789ab/heartbeats";
    assert_refused!(admin.get(unknown), DEVICE_NOT_FOUND);
    let wrong = format!("{path}?from=yesterday");
    assert_refused!(admin.get(&wrong), VALIDATION_FAILED);
    world.staff(Role::Support).await.read(&path).await;
    let finance = world.staff(Role::Finance).await;
    assert_refused!(finance.get(&path), FORBIDDEN);
}

#[tokio::test]
async fn a_box_fetches_its_configuration_and_acknowledges_it() {
    let (world, _, credentials) = fixture::device().await;
    let api = credentials.api(&world);
    let current = api.read("/device/config").await;
    assert_eq!(current["binding_id"], json!(credentials.binding_id));
    let envelope = current["envelope"].to_string();
    let (keys, id) = (&credentials.keys, credentials.device_id);
    let opened = keys.open(id, Channel::ConfigPush, envelope.as_bytes());
    match opened.unwrap() {
        DownlinkMessage::ConfigPush(push) => {
            assert_eq!(json!(push.version), current["version"]);
            assert_eq!(push.config, current["config"]);
        }
        other => panic!("{other:?}"),
    }
    let version = current["version"].as_i64().unwrap();
    let ack =
        json!({ "device_id": credentials.device_id, "version": version, "status": "applied" });
    let status = api.act("/device/config/ack", &ack).await;
    assert_eq!(status["applied_version"], json!(version));
    for wrong in [
        json!({ "version": version + 1, "status": "applied" }),
        json!({ "version": version, "status": "perhaps" }),
        json!({ "status": "applied" }),
    ] {
        assert_refused!(api.post("/device/config/ack", &wrong), VALIDATION_FAILED);
    }
    let foreign = json!({ "device_id": Credentials::unbound(&world).await.device_id, "version": version, "status": "applied" });
    assert_refused!(api.post("/device/config/ack", &foreign), FORBIDDEN);
    assert_refused!(world.admin().get("/device/config"), DEVICE_UNAUTHORIZED);
}

#[tokio::test]
async fn an_acknowledgement_over_http_only_rises_and_is_the_boxs_own() {
    let (world, _, credentials) = fixture::device().await;
    credentials.sell(&world, 10_000).await;
    let event_id = credentials.notifications(&world).await[0]["event_id"].clone();
    let api = credentials.api(&world);
    let say =
        |status: &str| json!({ "event_id": event_id, "status": status, "played_at": "not a time" });
    for (sent, known) in [
        ("received", "received"),
        ("received", "received"),
        ("stale", "stale"),
        ("failed", "stale"),
        ("played", "played"),
        ("failed", "played"),
    ] {
        let notification = api.act("/device/notifications/ack", &say(sent)).await;
        assert_eq!(notification["status"], known, "after {sent}");
    }
    let other_box = Credentials::unbound(&world).await.api(&world);
    let unknown = json!({ "event_id": "evt_0190f3a1c0de7abc8def0123456789ab", "status": "played" });
    for (api, ack) in [(&other_box, say("played")), (&api, unknown)] {
        let answer = api.post("/device/notifications/ack", &ack).await;
        answer.refused(NOTIFICATION_NOT_FOUND);
    }
}
