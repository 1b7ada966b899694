//! A box is authenticated by its certificate, and can only use its own topics.

use rumqttc::SubscribeReasonCode;
use tests::connection::ConnectOptions;
use tests::prelude::*;
use tests::soundbox::connect;
use wire::message::{AckStatus, PaymentAck};
use wire::{Channel, DownlinkFilter, Encoding, Topic, UplinkMessage};

/// Whether it is not acknowledged. The box may be quicker than the update to `sent`.
fn is_open(received: &Value) -> bool {
    ["pending", "sent"].contains(&received["status"].as_str().unwrap())
}

#[tokio::test]
async fn anothers_acknowledgement_has_no_effect() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let elsewhere = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut thief = Soundbox::at(&world, elsewhere.terminal().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    let event_id = soundbox.hear().await.event_id;

    thief.acknowledge(event_id, AckStatus::Played).await;

    let received = soundbox.credentials.notifications(&world).await;
    assert!(is_open(&received[0]), "{received:?}");
    let kept = "rejected_uplinks WHERE channel = 'uplink/payment/ack'";
    assert_eq!(world.rows(kept).await, 1);
    // The box that it belongs to still receives it.
    world.later(3);
    assert_eq!(soundbox.play().await.event_id, event_id);
}

#[tokio::test]
async fn a_box_cannot_listen_to_another() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let other = Credentials::unbound(&world).await;
    let mut connection = connect(&world, &credentials, true).await.unwrap();
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
        let code = connection.subscribe(filter).await;
        assert_eq!(code, SubscribeReasonCode::Failure, "{filter}");
    }
    let own = DownlinkFilter::All.for_device(credentials.device_id);
    let granted = SubscribeReasonCode::Success(rumqttc::QoS::AtLeastOnce);
    assert_eq!(connection.subscribe(&own).await, granted);
}

#[tokio::test]
async fn a_box_cannot_speak_as_another() {
    let (world, _, mut victim) = fixture::soundbox().await;
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
        // MQTT 3.1.1 cannot refuse a publish: the connection is ended.
        let mut connection = connect(&world, &thief, true).await.unwrap();
        let acknowledged = connection.publish(&topic, forged.clone()).await;
        assert!(!acknowledged, "{topic}");
    }
    let received = victim.credentials.notifications(&world).await;
    assert!(is_open(&received[0]), "{received:?}");
    let next = victim.credentials.sell(&world, 11_000).await;
    assert_eq!(victim.play().await.transaction_id, next);
}

#[tokio::test]
async fn no_connection_without_a_certificate() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let roots = certs::tls::roots_from_pem(&credentials.root_pem).unwrap();
    let name = credentials.device_id.to_string();
    let refused = Connection::open(ConnectOptions {
        address: world.mqtt(),
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
    let as_other = Connection::open(ConnectOptions {
        address: world.mqtt(),
        client_id: &name,
        clean: true,
        tls: credentials.tls(),
    });
    assert_not_authorized(as_other.await);
}

#[tokio::test]
async fn a_suspended_box_is_gone_and_does_not_come_back() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let credentials = soundbox.credentials.clone();
    assert_eq!(credentials.view(&world).await["online"], true);

    credentials.set_status(&world, "suspended").await;

    soundbox.ended().await;
    credentials.wait_for_online(&world, false).await;
    assert_not_authorized(connect(&world, &credentials, false).await);
    for api in [
        credentials.api(&world),
        credentials.api_by_certificate(&world),
    ] {
        let heartbeat = credentials.heartbeat_body();
        let answer = api.post("/device/heartbeat", &heartbeat).await;
        answer.refused(DEVICE_UNAUTHORIZED);
    }
    // Reinstated, it still has no credentials: it needs a new activation code.
    credentials.set_status(&world, "active").await;
    assert_not_authorized(connect(&world, &credentials, false).await);
}

#[tokio::test]
async fn a_retired_box_never_comes_back() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    credentials.set_status(&world, "retired").await;
    assert_not_authorized(connect(&world, &credentials, false).await);
    let (path, active) = (credentials.path(), json!({ "status": "active" }));
    let admin = world.admin();
    assert_refused!(admin.patch(&path, &active), INVALID_STATE);
    let renew = format!("{path}/activation-code");
    admin.post(&renew, &json!({})).await.refused(INVALID_STATE);
}

#[tokio::test]
async fn a_second_connection_takes_the_place_of_the_first() {
    let (world, _, first) = fixture::soundbox().await;
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
    credentials.wait_for_online(&world, false).await;
    let soundbox = away.reconnect(&world).await;
    assert_eq!(credentials.view(&world).await["online"], true);

    // A crashed platform leaves it online in the database; the next start corrects that.
    world.crash();
    let online = "device_presence WHERE online";
    assert_eq!(world.rows(online).await, 1);
    world.start().await;
    assert_eq!(world.rows(online).await, 0);
    assert_eq!(world.rows("sessions WHERE connected").await, 0);
    drop(soundbox);
    let flips = "SELECT kind FROM device_events ORDER BY id";
    let flips: Vec<String> = world.values(flips).await;
    assert_eq!(flips, ["online", "offline", "online", "offline"]);
}

#[tokio::test]
async fn a_graceful_stop_leaves_no_box_online() {
    let mut world = World::new().await;
    let soundbox = Soundbox::unbound(&world).await;
    world.stop().await;
    soundbox.ended().await;
    assert_eq!(world.rows("device_presence WHERE online").await, 0);
}
