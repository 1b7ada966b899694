//! A box is who it says it is, and speaks only of itself.

use rumqttc::{ConnectReturnCode, ConnectionError, SubscribeReasonCode};
use serde_json::{Value, json};
use tests::line::{Dial, Line};
use tests::soundbox::dial;
use tests::{Credentials, Shop, Soundbox, World, books, eventually};
use wire::message::{AckStatus, PaymentAck};
use wire::{Channel, DownlinkFilter, Encoding, Topic, UplinkMessage};

async fn status(world: &World, credentials: &Credentials, status: &str) {
    let path = format!("/admin/devices/{}", credentials.device_id);
    let _ = world
        .admin()
        .patch(&path, &json!({ "status": status }))
        .await
        .expect(200);
}

/// Whether nobody has said what became of it. The box may be quicker than the note that it was told.
fn is_open(told: &Value) -> bool {
    ["pending", "sent"].contains(&told["status"].as_str().unwrap())
}

/// CONNACK 5: not authorized.
fn assert_not_authorized(refused: Result<Line, ConnectionError>) {
    match refused {
        Err(ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)) => {}
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn anothers_acknowledgement_has_no_effect() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let elsewhere = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut thief = Soundbox::at(&world, elsewhere.till().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    let event_id = soundbox.hear().await.event_id;

    thief.acknowledge(event_id, AckStatus::Played).await;

    let told = soundbox.credentials.notifications(&world).await;
    assert!(is_open(&told[0]), "{told:?}");
    let kept = "SELECT count(*) FROM rejected_uplinks WHERE channel = 'uplink/payment/ack'";
    assert_eq!(books::count(&world.pool, kept).await, 1);
    // It is still told to the box whose it is.
    world.later(3);
    assert_eq!(soundbox.play().await.event_id, event_id);
}

#[tokio::test]
async fn a_box_cannot_listen_to_another() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let other = Credentials::unbound(&world).await;
    let mut line = dial(&world, &credentials, true).await.unwrap();
    let success = Topic::new(other.device_id, Channel::PaymentSuccess).to_string();
    let all = DownlinkFilter::All.for_device(other.device_id);
    for filter in [
        success.as_str(),
        all.as_str(),
        "devices/+/downlink/#",
        "devices/#",
        "#",
        "$SYS/#",
    ] {
        assert_eq!(
            line.subscribe(filter).await,
            SubscribeReasonCode::Failure,
            "{filter}"
        );
    }
    let own = DownlinkFilter::All.for_device(credentials.device_id);
    let granted = SubscribeReasonCode::Success(rumqttc::QoS::AtLeastOnce);
    assert_eq!(line.subscribe(&own).await, granted);
}

#[tokio::test]
async fn a_box_cannot_speak_as_another() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut victim = Soundbox::at(&world, shop.till().id).await;
    victim.credentials.sell(&world, 10_000).await;
    let event_id = victim.hear().await.event_id;
    let thief = Credentials::unbound(&world).await;
    let ack = UplinkMessage::PaymentAck(PaymentAck {
        event_id,
        status: AckStatus::Played,
        played_at: None,
        reason: None,
    });
    let forged = ack.encode(Encoding::Json).unwrap();
    for topic in [
        Topic::new(victim.credentials.device_id, Channel::PaymentAck).to_string(),
        Topic::new(victim.credentials.device_id, Channel::PaymentSuccess).to_string(),
        Topic::new(thief.device_id, Channel::PaymentSuccess).to_string(),
        "anything".to_owned(),
    ] {
        // MQTT 3.1.1 has no way to say no: the connection is ended.
        let mut line = dial(&world, &thief, true).await.unwrap();
        assert!(
            !line.publish(&topic, forged.clone()).await,
            "{topic} was acknowledged"
        );
    }
    let told = victim.credentials.notifications(&world).await;
    assert!(is_open(&told[0]), "{told:?}");
    let next = victim.credentials.sell(&world, 11_000).await;
    assert_eq!(victim.play().await.transaction_id, next);
}

#[tokio::test]
async fn without_a_certificate_nobody_connects() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let roots = certs::tls::roots_from_pem(&credentials.root_pem).unwrap();
    let name = credentials.device_id.to_string();
    let refused = Line::dial(Dial {
        to: world.mqtt(),
        client_id: &name,
        clean: true,
        tls: certs::tls::client_config(roots, None, Vec::new()).unwrap(),
    });
    assert!(refused.await.is_err());
}

#[tokio::test]
async fn a_certificate_is_good_for_its_own_name_only() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let other = Credentials::unbound(&world).await;
    let name = other.device_id.to_string();
    let as_other = Line::dial(Dial {
        to: world.mqtt(),
        client_id: &name,
        clean: true,
        tls: credentials.tls(),
    });
    assert_not_authorized(as_other.await);
}

#[tokio::test]
async fn a_suspended_box_is_gone_and_does_not_come_back() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.till().id).await;
    let credentials = soundbox.credentials.clone();
    assert_eq!(credentials.view(&world).await["online"], true);

    status(&world, &credentials, "suspended").await;

    soundbox.ended().await;
    eventually("the box being offline", || async {
        (credentials.view(&world).await["online"] == false).then_some(())
    })
    .await;
    assert_not_authorized(dial(&world, &credentials, false).await);
    let beat = json!({ "device_id": credentials.device_id, "timestamp": "2026-05-23T10:00:00Z", "firmware_version": "1", "state": "idle" });
    for api in [
        credentials.api(&world),
        credentials.api_by_certificate(&world),
    ] {
        api.post("/device/heartbeat", &beat)
            .await
            .refused(401, "DEVICE_UNAUTHORIZED");
    }
    // Reinstated, it is still without credentials: it needs a new activation code.
    status(&world, &credentials, "active").await;
    assert_not_authorized(dial(&world, &credentials, false).await);
}

#[tokio::test]
async fn a_retired_box_never_comes_back() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    status(&world, &credentials, "retired").await;
    assert_not_authorized(dial(&world, &credentials, false).await);
    let path = format!("/admin/devices/{}", credentials.device_id);
    let admin = world.admin();
    admin
        .patch(&path, &json!({ "status": "active" }))
        .await
        .refused(409, "INVALID_STATE");
    let renew = format!("{path}/activation-code");
    admin
        .post(&renew, &json!({}))
        .await
        .refused(409, "INVALID_STATE");
}

#[tokio::test]
async fn a_second_connection_takes_the_place_of_the_first() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let first = Soundbox::at(&world, shop.till().id).await;
    let credentials = first.credentials.clone();
    let mut second = Soundbox::switch_on(&world, credentials.clone()).await;
    first.ended().await;
    let sold = credentials.sell(&world, 10_000).await;
    assert_eq!(second.play().await.transaction_id, sold);
    assert_eq!(credentials.view(&world).await["online"], true);
}

#[tokio::test]
async fn presence_follows_the_session() {
    let mut world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    assert_eq!(credentials.view(&world).await["online"], false);
    let soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
    assert_eq!(credentials.view(&world).await["online"], true);
    let away = soundbox.switch_off().await;
    eventually("the box being offline", || async {
        (credentials.view(&world).await["online"] == false).then_some(())
    })
    .await;
    let soundbox = away.come_back(&world).await;
    assert_eq!(credentials.view(&world).await["online"], true);

    // A platform that died left it online in the books; the next one knows better.
    world.crash();
    let online = "SELECT count(*) FROM device_presence WHERE online";
    assert_eq!(books::count(&world.pool, online).await, 1);
    world.start().await;
    assert_eq!(books::count(&world.pool, online).await, 0);
    assert_eq!(
        books::count(&world.pool, "SELECT count(*) FROM sessions WHERE connected").await,
        0
    );
    drop(soundbox);
    let flips: Vec<String> = sqlx::query_scalar("SELECT kind FROM device_events ORDER BY id")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(flips, ["online", "offline", "online", "offline"]);
}

#[tokio::test]
async fn a_graceful_stop_leaves_nobody_online() {
    let mut world = World::new().await;
    let soundbox = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    world.stop().await;
    soundbox.ended().await;
    let online = "SELECT count(*) FROM device_presence WHERE online";
    assert_eq!(books::count(&world.pool, online).await, 0);
}
