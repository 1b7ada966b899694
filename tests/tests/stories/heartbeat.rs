//! Signs of life.

use serde_json::{Value, json};
use tests::{Credentials, Shop, Soundbox, World, books};
use wire::Channel;

const STORED: &str = "SELECT count(*) FROM heartbeats";
const REJECTED: &str = "SELECT count(*) FROM rejected_uplinks";

#[tokio::test]
async fn a_beat_is_acknowledged_when_it_is_in_postgres() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    for beats in 1..=20 {
        // Returns at the PUBACK, and not a moment later.
        soundbox.beat("2026-05-23T10:00:00Z").await;
        assert_eq!(books::count(&world.pool, STORED).await, beats);
    }
    let view = soundbox.credentials.view(&world).await;
    assert_eq!(
        (
            &view["battery_level"],
            &view["network_strength"],
            &view["firmware_version"],
            &view["state"]
        ),
        (&json!(92), &json!(78), &json!("1.0.3"), &json!("idle"))
    );
    assert!(view["last_seen_at"].is_string());
}

#[tokio::test]
async fn a_beat_that_cannot_be_stored_is_not_acknowledged() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    soundbox.beat("2026-05-23T10:00:00Z").await;
    let rename = |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        let pool = world.pool.clone();
        async move {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&pool)
                .await
                .unwrap()
        }
    };
    rename("heartbeats", "elsewhere").await;
    let id = soundbox.credentials.device_id;
    let beat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "2", "state": "idle" });
    let payload = beat.to_string().into_bytes();
    // Either it is never acknowledged and the session ends, or it is acknowledged after the table is back.
    let acknowledged = tokio::select! {
        acknowledged = soundbox.say_raw(Channel::Heartbeat, payload) => acknowledged,
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => false,
    };
    assert!(!acknowledged, "acknowledged though it was not stored");
    rename("elsewhere", "heartbeats").await;
    assert_eq!(books::count(&world.pool, STORED).await, 1);
}

#[tokio::test]
async fn what_is_no_beat_is_acknowledged_and_kept_as_rejected() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    let other = Credentials::unbound(&world).await.device_id;
    let own = soundbox.credentials.device_id;
    let beat = |change: fn(&mut Value), id| {
        let mut beat = json!({ "message_type": "heartbeat", "device_id": id, "firmware_version": "1.0.3", "state": "idle" });
        change(&mut beat);
        beat.to_string().into_bytes()
    };
    let broken = [
        b"not JSON".to_vec(),
        Vec::new(),
        vec![0xff; 300],
        b"{}".to_vec(),
        beat(|beat| beat["message_type"] = json!("status"), own),
        beat(|_| (), other),
    ];
    for (count, payload) in (1..).zip(broken) {
        let shown = String::from_utf8_lossy(&payload).into_owned();
        assert!(
            soundbox.say_raw(Channel::Heartbeat, payload).await,
            "{shown}"
        );
        assert_eq!(books::count(&world.pool, REJECTED).await, count, "{shown}");
    }
    assert_eq!(books::count(&world.pool, STORED).await, 0);
}

#[tokio::test]
async fn a_wrong_clock_is_no_reason_to_refuse() {
    let world = World::new().await;
    let mut soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    for time in [
        "1970-01-01T00:00:00Z",
        "2999-12-31T23:59:59Z",
        "yesterday",
        "",
    ] {
        soundbox.beat(time).await;
    }
    let id = soundbox.credentials.device_id;
    let number = json!({ "message_type": "heartbeat", "device_id": id, "timestamp": 17, "firmware_version": "1.0.3", "state": "idle" });
    assert!(
        soundbox
            .say_raw(Channel::Heartbeat, number.to_string().into_bytes())
            .await
    );
    assert_eq!(books::count(&world.pool, STORED).await, 5);
    assert_eq!(books::count(&world.pool, REJECTED).await, 0);
    let by_our_clock =
        "SELECT count(*) FROM heartbeats WHERE abs(extract(epoch FROM received_at - now())) < 60";
    assert_eq!(books::count(&world.pool, by_our_clock).await, 5);
}

#[tokio::test]
async fn a_beat_over_http_brings_what_is_due() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let id = credentials.sell(&world, 10_000).await;
    let beat = json!({
        "device_id": credentials.device_id, "timestamp": "2026-05-23T10:00:00Z", "firmware_version": "1.0.3",
        "network_strength": 78, "battery_level": 92, "state": "idle",
    });
    let api = credentials.api(&world);
    let data = api
        .post("/device/heartbeat", &beat)
        .await
        .expect(200)
        .data();
    assert!(data["server_time"].is_string() && data["config_version"].is_i64());
    let envelope = data["notifications"][0].to_string();
    let message = credentials.keys.open(
        credentials.device_id,
        Channel::PaymentSuccess,
        envelope.as_bytes(),
    );
    match message.unwrap() {
        wire::DownlinkMessage::PaymentSuccess(payment) => assert_eq!(payment.transaction_id, id),
        other => panic!("{other:?}"),
    }
    // It was told; it is not told again at once.
    let data = api
        .post("/device/heartbeat", &beat)
        .await
        .expect(200)
        .data();
    assert_eq!(data["notifications"], json!([]));

    let by_certificate = credentials.api_by_certificate(&world);
    let _ = by_certificate
        .post("/device/heartbeat", &beat)
        .await
        .expect(200);
    let mut foreign = beat.clone();
    foreign["device_id"] = json!(Credentials::unbound(&world).await.device_id);
    api.post("/device/heartbeat", &foreign)
        .await
        .refused(403, "FORBIDDEN");
    world
        .anonymous()
        .post("/device/heartbeat", &beat)
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
}
