//! MQTT 5.0: the same rules, with reason codes.

use broker::{Downlink, EndReason, ProtocolVersion, Published, Undelivered};
use wire::Channel;

use crate::common::client::{
    Client, connect_raw, connect_v5, publish_raw, publish_v5, subscribe, unsubscribe, v5,
};
use crate::common::{World, device, payment, topic};

/// Session Expiry Interval.
fn expiry(seconds: u32) -> Vec<u8> {
    let mut property = vec![0x11];
    property.extend(seconds.to_be_bytes());
    property
}

/// CONNECT, and the CONNACK's flags and properties.
async fn connect(
    world: &World,
    number: u128,
    clean: bool,
    properties: &[u8],
) -> (Client, u8, Vec<u8>) {
    let mut client = world.dial(number).await;
    client
        .send(&connect_v5(&device(number).to_string(), clean, properties))
        .await;
    let connack = client.next().await.expect("CONNACK");
    assert_eq!((connack.first, connack.body[1]), (0x20, 0));
    (client, connack.body[0], connack.body[3..].to_vec())
}

async fn listening(world: &World, number: u128, clean: bool, properties: &[u8]) -> Client {
    let (mut client, ..) = connect(world, number, clean, properties).await;
    let all = format!("devices/{}/downlink/#", device(number));
    client.send(&v5(&subscribe(1, &[(&all, 1)]))).await;
    client.expect(0x90, &[0, 1, 0, 1]).await;
    client
}

fn has(properties: &[u8], property: &[u8]) -> bool {
    properties
        .windows(property.len())
        .any(|window| window == property)
}

#[tokio::test]
async fn connack_states_what_is_supported() {
    let world = World::new().await;
    let (_client, flags, properties) = connect(&world, 1, true, &[]).await;
    assert_eq!(flags, 0);
    let connecting = world.host.connecting.lock().unwrap()[0].clone();
    assert_eq!(connecting.protocol, ProtocolVersion::V5);
    assert_eq!(connecting.session_expiry_s, 0);
    for property in [
        &[0x21, 0, 64][..],
        &[0x24, 1],
        &[0x25, 0],
        &[0x27, 0, 1, 0, 0],
        &[0x29, 0],
        &[0x2a, 0],
    ] {
        assert!(has(&properties, property), "{property:?} in {properties:?}");
    }
}

#[tokio::test]
async fn refusals_have_reason_codes() {
    let world = World::new().await;
    let own = device(1).to_string();
    let status = topic(1, Channel::Status);
    let other = topic(2, Channel::Status);
    let will = |topic, flags| {
        connect_raw(
            5,
            own.as_bytes(),
            true,
            60,
            Some(&[]),
            Some((topic, b"x", flags)),
        )
    };
    for (bytes, code) in [
        (connect_v5(&device(2).to_string(), true, &[]), 0x87),
        (connect_v5("", true, &[]), 0x85),
        (connect_v5(&own, true, &[0x15, 0, 1, b'x']), 0x8c),
        (will(&other, 0x0c), 0x87),
        (will(&status, 0x14), 0x9b),
        (will(&status, 0x2c), 0x9a),
    ] {
        let mut client = world.dial(1).await;
        client.send(&bytes).await;
        client.expect(0x20, &[0, code, 0]).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn a_forbidden_publish_is_acknowledged_with_its_code_in_order_and_the_session_continues() {
    let world = World::new().await;
    let (mut client, ..) = connect(&world, 1, true, &[]).await;
    world.host.uplinks.close();
    client
        .send(&publish_v5(2, &topic(1, Channel::Status), 1, b"x"))
        .await;
    client
        .send(&publish_v5(2, &topic(2, Channel::Status), 2, b"x"))
        .await;
    client
        .send(&publish_v5(0, &topic(2, Channel::Status), 0, b"x"))
        .await;
    client.ping().await;
    world.host.uplinks.open();
    client.expect(0x40, &[0, 1]).await;
    client.expect(0x40, &[0, 2, 0x87]).await;
    client.ping().await;
    assert_eq!(world.host.uplinks_begun(1).await.len(), 1);
}

#[tokio::test]
async fn subscriptions_are_answered_with_reason_codes() {
    let world = World::new().await;
    let (mut client, ..) = connect(&world, 1, true, &[]).await;
    let (own, other) = (topic(1, Channel::Time), topic(2, Channel::Time));
    client
        .send(&v5(&subscribe(1, &[(&own, 2), (&other, 1)])))
        .await;
    client.expect(0x90, &[0, 1, 0, 1, 0x87]).await;
    client.send(&v5(&unsubscribe(2, &[&own, &other]))).await;
    client.expect(0xb0, &[0, 2, 0, 0, 0x11]).await;
}

#[tokio::test]
async fn what_is_not_supported_ends_the_session_with_its_reason_code() {
    let world = World::with(|limits| limits.uplinks_unacknowledged_max = 1).await;
    world.host.uplinks.close();
    let own = topic(1, Channel::Status);
    let publish = publish_v5(2, &own, 1, b"x");
    let alias = publish_raw(0, own.as_bytes(), 0, Some(&[0x23, 0, 1]), b"x");
    for (bytes, code) in [
        (publish_v5(4, &own, 1, b"x"), 0x9b),
        (publish_v5(1, &own, 0, b"x"), 0x9a),
        (alias, 0x94),
        (vec![0x82, 9, 0, 1, 2, 0x0b, 1, 0, 1, b'a', 0], 0xa1),
        (vec![0x30, 0xc0, 0x9a, 0x0c], 0x95),
        (vec![0xd0, 0], 0x82),
        (vec![0xc1, 0], 0x81),
        ([publish.clone(), publish].concat(), 0x93),
    ] {
        let (mut client, ..) = connect(&world, 1, true, &[]).await;
        client.send(&bytes).await;
        client.expect(0xe0, &[code]).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn the_servers_disconnects_have_reason_codes() {
    let world = World::new().await;
    let (mut revoked, ..) = connect(&world, 1, true, &[]).await;
    world.edge.kick(device(1), EndReason::Revoked);
    revoked.expect(0xe0, &[0x87]).await;
    revoked.expect_closed().await;

    let (mut older, ..) = connect(&world, 2, true, &[]).await;
    let (mut newer, ..) = connect(&world, 2, true, &[]).await;
    older.expect(0xe0, &[0x8e]).await;
    older.expect_closed().await;

    world.stop.cancel();
    newer.expect(0xe0, &[0x8b]).await;
    newer.expect_closed().await;
}

#[tokio::test]
async fn a_message_has_its_expiry_interval() {
    let world = World::new().await;
    let mut client = listening(&world, 1, true, &[]).await;
    world.edge.publish(Downlink {
        expires_s: Some(300),
        ..payment(1, 7)
    });
    let received = client.next().await.unwrap();
    let properties = received.body.len() - 1 - 6;
    assert_eq!(&received.body[properties..], &[5, 2, 0, 0, 1, 44, b'7']);
}

#[tokio::test]
async fn a_boxs_receive_maximum_and_maximum_packet_size_are_respected() {
    let world = World::new().await;
    // Receive Maximum 1, Maximum Packet Size 100.
    let mut client = listening(&world, 1, true, &[0x21, 0, 1, 0x27, 0, 0, 0, 100]).await;
    world.edge.publish(Downlink {
        payload: vec![b'x'; 100].into(),
        ..payment(1, 1)
    });
    world.publish(1, 2);
    world.publish(1, 3);
    let received = client.next().await.unwrap();
    assert_eq!(received.body.last(), Some(&b'2'));
    client.ping().await;
    let id = received.body.len() - 4;
    // PUBACK with a reason code, as version 5 allows.
    client
        .send(&[0x40, 3, received.body[id], received.body[id + 1], 0])
        .await;
    let received = client.next().await.unwrap();
    assert_eq!(received.body.last(), Some(&b'3'));
}

#[tokio::test]
async fn publish_returns_the_outcome_of_a_message() {
    let world = World::with(|limits| limits.queue_max = 2).await;
    let large = |event| Downlink {
        payload: vec![b'x'; 512].into(),
        ..payment(1, event)
    };
    let refused = Published::Refused;
    let publish = |event| world.edge.publish(payment(1, event));
    assert_eq!(publish(1), refused(Undelivered::NotConnected));
    // Receive Maximum 1, Maximum Packet Size 512.
    let properties = [0x21, 0, 1, 0x27, 0, 0, 2, 0];
    let (mut client, ..) = connect(&world, 1, true, &properties).await;
    assert_eq!(publish(2), refused(Undelivered::NotSubscribed));
    let payments = topic(1, Channel::PaymentSuccess);
    client.send(&v5(&subscribe(1, &[(&payments, 1)]))).await;
    client.expect(0x90, &[0, 1, 0, 1]).await;
    let other = Downlink {
        channel: Channel::Command,
        ..payment(1, 3)
    };
    assert_eq!(
        world.edge.publish(other),
        refused(Undelivered::NotSubscribed)
    );
    assert_eq!(
        world.edge.publish(large(4)),
        refused(Undelivered::PacketTooLarge)
    );
    // One is sent and not acknowledged, and the next wait for it, also while they are inside the router.
    assert_eq!(publish(5), Published::Sent);
    assert_eq!(publish(6), Published::Queued);
    let received = client.next().await.unwrap();
    assert_eq!(received.body.last(), Some(&b'5'));
    assert_eq!(publish(5), Published::Sent, "it is in flight");
    assert_eq!(publish(7), Published::Queued);
    client.ping().await;
    while publish(8) != refused(Undelivered::QueueFull) {
        tokio::task::yield_now().await;
    }
    assert_eq!(publish(6), Published::Queued, "it is queued");
    // After an acknowledgement the next one is sent.
    let id = received.body.len() - 4;
    client
        .send(&[0x40, 2, received.body[id], received.body[id + 1]])
        .await;
    let received = client.next().await.unwrap();
    assert_eq!(received.body.last(), Some(&b'6'));
    assert_eq!(publish(6), Published::Sent);
}

#[tokio::test]
async fn a_session_is_kept_as_long_as_the_box_requests() {
    let world = World::with(|limits| limits.session_expiry_s_max = 1_000).await;
    let client = listening(&world, 1, true, &expiry(600)).await;
    client.drop_connection();
    assert!(!world.host.ended(device(1)).await.2);
    let (mut client, flags, properties) = connect(&world, 1, false, &expiry(u32::MAX)).await;
    assert_eq!(flags, 1, "session present");
    assert!(
        has(&properties, &expiry(1_000)),
        "at most the server's limit"
    );
    // Its DISCONNECT changes the expiry, twice.
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]).await;
    client.expect_closed().await;
    world.host.ends(device(1), 2).await;
    assert_eq!(*world.host.changed_expiries.lock().unwrap(), [9]);
    let (mut client, flags, _) = connect(&world, 1, false, &expiry(600)).await;
    assert_eq!(flags, 1);
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    client.expect_closed().await;
    world.host.ends(device(1), 3).await;
    let (_client, flags, _) = connect(&world, 1, false, &expiry(600)).await;
    assert_eq!(flags, 0);
}

#[tokio::test]
async fn a_disconnect_may_request_the_will() {
    let world = World::new().await;
    let status = topic(1, Channel::Status);
    let own = device(1).to_string();
    let mut client = world.dial(1).await;
    client
        .send(&connect_raw(
            5,
            own.as_bytes(),
            true,
            0,
            Some(&[]),
            Some((&status, b"offline", 0x0c)),
        ))
        .await;
    let connack = client.next().await.unwrap();
    assert!(
        has(&connack.body, &[0x13, 3, 32]),
        "the server's keep-alive instead of none"
    );
    client.send(&[0xe0, 1, 4]).await;
    let (reason, will, _) = world.host.ended(device(1)).await;
    assert_eq!(reason, EndReason::Disconnected);
    assert_eq!(will.unwrap(), &b"offline"[..]);
}
