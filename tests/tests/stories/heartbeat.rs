//! Heartbeats.

use tests::prelude::*;
use wire::Channel;

const STORED: &str = "heartbeats";
const REJECTED: &str = "rejected_uplinks";

#[tokio::test]
async fn a_heartbeat_is_acknowledged_when_it_is_in_postgres() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    for heartbeats in 1..=20 {
        // Returns at the PUBACK.
        soundbox.heartbeat("2026-05-23T10:00:00Z").await;
        assert_eq!(world.rows(STORED).await, heartbeats);
    }
    let view = soundbox.credentials.view(&world).await;
    assert_fields!(view, { "battery_level": 92, "network_strength": 78 });
    assert_fields!(view, { "firmware_version": "1.0.3", "state": "idle" });
    assert!(view["last_seen_at"].is_string());
}

#[tokio::test]
async fn a_heartbeat_that_cannot_be_stored_is_not_acknowledged() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    soundbox.heartbeat("2026-05-23T10:00:00Z").await;
    world
        .execute("ALTER TABLE heartbeats RENAME TO elsewhere")
        .await;
    let id = soundbox.credentials.device_id;
    let heartbeat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "2", "state": "idle" });
    let payload = heartbeat.to_string().into_bytes();
    // Either it is never acknowledged and the session ends, or it is acknowledged after the table is back.
    let acknowledged = tokio::select! {
        acknowledged = soundbox.send_raw(Channel::Heartbeat, payload) => acknowledged,
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => false,
    };
    assert!(!acknowledged, "acknowledged though it was not stored");
    world
        .execute("ALTER TABLE elsewhere RENAME TO heartbeats")
        .await;
    assert_eq!(world.rows(STORED).await, 1);
}

#[tokio::test]
async fn what_is_no_heartbeat_is_acknowledged_and_kept_as_rejected() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    let other = Credentials::unbound(&world).await.device_id;
    let own = soundbox.credentials.device_id;
    let heartbeat = |change: fn(&mut Value), id| {
        let mut heartbeat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "1.0.3", "state": "idle" });
        change(&mut heartbeat);
        heartbeat.to_string().into_bytes()
    };
    let broken = [
        b"not JSON".to_vec(),
        Vec::new(),
        vec![0xff; 300],
        b"{}".to_vec(),
        heartbeat(|heartbeat| heartbeat["message_type"] = json!("status"), own),
        heartbeat(|_| (), other),
    ];
    for (count, payload) in (1..).zip(broken) {
        let shown = String::from_utf8_lossy(&payload).into_owned();
        let taken = soundbox.send_raw(Channel::Heartbeat, payload).await;
        assert!(taken, "{shown}");
        assert_eq!(world.rows(REJECTED).await, count, "{shown}");
    }
    assert_eq!(world.rows(STORED).await, 0);
}

#[tokio::test]
async fn a_wrong_clock_is_no_reason_to_refuse() {
    let world = World::new().await;
    let mut soundbox = Soundbox::unbound(&world).await;
    for time in [
        "1970-01-01T00:00:00Z",
        "2999-12-31T23:59:59Z",
        "yesterday",
        "",
    ] {
        soundbox.heartbeat(time).await;
    }
    let id = soundbox.credentials.device_id;
    let number = json!({ "message_type": "heartbeat", "device_id": id, "timestamp": 17, "firmware_version": "1.0.3", "state": "idle" });
    let number = number.to_string().into_bytes();
    assert!(soundbox.send_raw(Channel::Heartbeat, number).await);
    assert_eq!(world.rows(STORED).await, 5);
    assert_eq!(world.rows(REJECTED).await, 0);
    let by_our_clock = "heartbeats WHERE abs(extract(epoch FROM received_at - now())) < 60";
    assert_eq!(world.rows(by_our_clock).await, 5);
}

#[tokio::test]
async fn a_heartbeat_over_http_returns_what_is_due() {
    let (world, _, credentials) = fixture::device().await;
    let id = credentials.sell(&world, 10_000).await;
    let heartbeat = credentials.heartbeat_body();
    let api = credentials.api(&world);
    let data = api.act("/device/heartbeat", &heartbeat).await;
    assert!(data["server_time"].is_string() && data["config_version"].is_i64());
    let received = HttpBox::with(&world, credentials.clone()).open(&data);
    assert_eq!(received.payments[0].transaction_id, id);
    // It was returned; it is not returned again at once.
    let data = api.act("/device/heartbeat", &heartbeat).await;
    assert_eq!(data["notifications"], json!([]));

    let by_certificate = credentials.api_by_certificate(&world);
    by_certificate.act("/device/heartbeat", &heartbeat).await;
    let mut foreign = heartbeat.clone();
    foreign["device_id"] = json!(Credentials::unbound(&world).await.device_id);
    assert_refused!(api.post("/device/heartbeat", &foreign), FORBIDDEN);
    let unauthenticated = world
        .anonymous()
        .post("/device/heartbeat", &heartbeat)
        .await;
    unauthenticated.refused(DEVICE_UNAUTHORIZED);
}
