//! Services that observe the fleet.

use broker::EndReason;
use wire::Channel;

use crate::common::client::{
    Client, Received, WILL_QOS_1, connect, connect_raw, connect_v5, puback, publish, publish_raw,
    publish_v5, subscribe, unsubscribe, v5,
};
use crate::common::fleet::Credentials;
use crate::common::{World, device, topic, within};

const ACCEPTED: [u8; 2] = [0, 0];
const NOT_AUTHORIZED: [u8; 2] = [0, 5];
const EVERYTHING: [(&str, u8); 2] = [("devices/+/uplink/#", 1), ("devices/+/downlink/#", 1)];

/// A service with version 3.1.1.
async fn observer(world: &World, credentials: &Credentials, client_id: &str) -> Client {
    let mut client = world.dial_with(credentials).await;
    client.send(&connect(client_id, true, 60, None)).await;
    client.expect(0x20, &ACCEPTED).await;
    client
}

async fn observing_everything(world: &World) -> Client {
    observing_everything_as(world, "analytics").await
}

async fn observing_everything_as(world: &World, name: &str) -> Client {
    let credentials = world.fleet.service(name);
    let mut client = observer(world, &credentials, name).await;
    client.send(&subscribe(1, &EVERYTHING)).await;
    client.expect(0x90, &[0, 1, 0, 0]).await;
    client
}

fn copy(number: u128, channel: Channel, text: &str) -> Received {
    Received {
        topic: topic(number, channel),
        text: text.to_owned(),
        dup: false,
        id: None,
    }
}

#[tokio::test]
async fn an_observer_gets_copies_of_uplinks_and_downlinks() {
    let world = World::new().await;
    let mut observer = observing_everything(&world).await;
    for number in [1, 2] {
        let mut client = world.listening_box(number).await;
        client
            .publish(2, &topic(number, Channel::Heartbeat), 7, b"heartbeat")
            .await;
        client.expect(0x40, &[0, 7]).await;
        assert_eq!(
            observer.receive().await,
            copy(number, Channel::Heartbeat, "heartbeat")
        );
        world.publish(number, 50);
        assert_eq!(client.receive_and_acknowledge().await, "50");
        assert_eq!(
            observer.receive().await,
            copy(number, Channel::PaymentSuccess, "50")
        );
    }
}

#[tokio::test]
async fn an_observer_receives_only_durable_messages_that_it_subscribed_to() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut observer = observer(&world, &credentials, "a").await;
    let filter = "devices/+/uplink/status";
    observer.send(&subscribe(1, &[(filter, 0)])).await;
    observer.expect(0x90, &[0, 1, 0]).await;
    let mut client = world.connected_box(1).await;
    *world.host.unavailable.lock().unwrap() = true;
    client
        .publish(2, &topic(1, Channel::Status), 1, b"not taken")
        .await;
    client.expect_closed().await;
    *world.host.unavailable.lock().unwrap() = false;
    let mut client = world.connected_box(1).await;
    for (channel, text) in [
        (Channel::Heartbeat, &b"not asked for"[..]),
        (Channel::Status, b"taken"),
    ] {
        client.publish(2, &topic(1, channel), 1, text).await;
        client.expect(0x40, &[0, 1]).await;
    }
    assert_eq!(observer.receive().await, copy(1, Channel::Status, "taken"));
    observer.send(&unsubscribe(2, &[filter])).await;
    observer.expect(0xb0, &[0, 2]).await;
    client
        .publish(2, &topic(1, Channel::Status), 1, b"any more")
        .await;
    client.expect(0x40, &[0, 1]).await;
    observer.ping().await;
}

#[tokio::test]
async fn a_will_is_copied_as_a_status() {
    let world = World::new().await;
    let mut observer = observing_everything(&world).await;
    let mut client = world.dial(1).await;
    let status = topic(1, Channel::Status);
    let will = Some((status.as_str(), &b"offline"[..], WILL_QOS_1));
    client
        .send(&connect(&device(1).to_string(), true, 60, will))
        .await;
    client.expect(0x20, &ACCEPTED).await;
    client.drop_connection();
    assert_eq!(
        observer.receive().await,
        copy(1, Channel::Status, "offline")
    );
}

#[tokio::test]
async fn user_properties_are_carried_to_version_5() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut observer = world.dial_with(&credentials).await;
    observer.send(&connect_v5("a", true, &[])).await;
    assert_eq!(observer.next().await.unwrap().body[..2], ACCEPTED);
    observer.send(&v5(&subscribe(1, &EVERYTHING))).await;
    observer.expect(0x90, &[0, 1, 0, 0, 0]).await;

    let property = [0x26, 0, 1, b'k', 0, 2, b'v', b'1'];
    let mut client = world.dial(1).await;
    client
        .send(&connect_v5(&device(1).to_string(), true, &[]))
        .await;
    client.next().await.unwrap();
    let own = topic(1, Channel::Heartbeat);
    client
        .send(&publish_raw(
            2,
            own.as_bytes(),
            7,
            Some(&property),
            b"heartbeat",
        ))
        .await;
    client.expect(0x40, &[0, 7]).await;
    let copied = publish_raw(0, own.as_bytes(), 0, Some(&property), b"heartbeat");
    observer.expect(0x30, &copied[2..]).await;
}

#[tokio::test]
async fn an_observer_may_not_publish() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut neighbour = world.listening_box(1).await;
    let topics = [
        topic(1, Channel::Heartbeat),
        topic(1, Channel::PaymentSuccess),
        "analytics".to_owned(),
        "devices/+/downlink/#".to_owned(),
    ];
    for topic in &topics {
        for flags in [0, 2] {
            let mut client = observer(&world, &credentials, "a").await;
            client.publish(flags, topic, 1, b"x").await;
            client.expect_closed().await;
        }
        let mut client = world.dial_with(&credentials).await;
        client.send(&connect_v5("a", true, &[])).await;
        assert_eq!(client.next().await.unwrap().body[..2], ACCEPTED);
        client.send(&publish_v5(0, topic, 0, b"x")).await;
        client.send(&publish_v5(2, topic, 1, b"x")).await;
        client.expect(0x40, &[0, 1, 0x87]).await;
        client.ping().await;
    }
    let mut client = world.dial_with(&credentials).await;
    let will = Some((topics[0].as_str(), &b"x"[..], WILL_QOS_1));
    client.send(&connect("a", true, 60, will)).await;
    client.expect(0x20, &NOT_AUTHORIZED).await;
    neighbour.ping().await;
    assert!(world.host.uplinks_begun(0).await.is_empty());
}

#[tokio::test]
async fn an_observer_may_subscribe_only_to_the_fleets_topics() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut client = world.dial_with(&credentials).await;
    client.send(&connect_v5("a", true, &[])).await;
    client.next().await.unwrap();
    let own = format!("devices/{}/uplink/#", device(1));
    let filters = [
        ("#", 0),
        ("+/+/uplink/#", 0),
        ("devices/#", 0),
        ("devices/+/#", 0),
        ("devices/+/+/status", 0),
        ("$share/g/devices/+/uplink/#", 0),
        ("$SYS/#", 0),
        ("devices/+/uplink/+", 0),
        (own.as_str(), 1),
    ];
    client.send(&v5(&subscribe(1, &filters))).await;
    let mut answers = vec![0, 1, 0];
    answers.extend([0x87; 8]);
    answers.push(0);
    client.expect(0x90, &answers).await;
}

#[tokio::test]
async fn subscriptions_over_the_limit_are_refused_with_their_code() {
    let world = World::with(|limits| limits.subscriptions_max = 2).await;
    let credentials = world.fleet.service("analytics");
    let mut client = world.dial_with(&credentials).await;
    client.send(&connect_v5("a", true, &[])).await;
    client.next().await.unwrap();
    let three = [
        EVERYTHING[0],
        EVERYTHING[1],
        EVERYTHING[0],
        ("devices/+/uplink/status", 0),
    ];
    client.send(&v5(&subscribe(1, &three))).await;
    client.expect(0x90, &[0, 1, 0, 0, 0, 0, 0x97]).await;
}

#[tokio::test]
async fn an_observer_that_does_not_read_loses_copies_and_delays_no_other() {
    let world = World::with(|limits| limits.observer_queue_bytes_max = 8 * 1024).await;
    // It subscribes and never reads again.
    let mut slow = observing_everything(&world).await;
    let mut other = observing_everything_as(&world, "other").await;
    let mut client = world.listening_box(1).await;
    let text = "x".repeat(60_000);
    for id in 1..=100_u16 {
        client
            .publish(2, &topic(1, Channel::Heartbeat), id, text.as_bytes())
            .await;
        client.expect(0x40, &id.to_be_bytes()).await;
    }
    world.publish(1, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
    // Copies of this size never fit into the queue; the small one does.
    for observer in [&mut slow, &mut other] {
        assert_eq!(
            observer.receive().await,
            copy(1, Channel::PaymentSuccess, "1")
        );
    }
}

#[tokio::test]
async fn an_observer_that_never_reads_is_disconnected() {
    let world = World::with(|limits| limits.write_ms_max = 200).await;
    let _unread = observing_everything(&world).await;
    let mut client = world.connected_box(1).await;
    let text = "x".repeat(60_000);
    within("the end of the observer", async {
        let mut id = 0_u16;
        while !world.edge.observer_certificates().is_empty() {
            id = id.checked_add(1).unwrap_or(1);
            let heartbeat = publish(2, &topic(1, Channel::Heartbeat), id, text.as_bytes());
            client.send(&heartbeat).await;
            client.expect(0x40, &id.to_be_bytes()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_observer_is_disconnected_and_cannot_reconnect() {
    let world = World::new().await;
    let (old, new) = (
        world.fleet.service("analytics"),
        world.fleet.service("analytics"),
    );
    let mut client = world.dial_with(&old).await;
    client.send(&connect_v5("a", true, &[])).await;
    client.next().await.unwrap();
    let mut other = observer(&world, &new, "b").await;
    assert_eq!(world.edge.observer_certificates().len(), 2);
    world.host.refuse_certificate(&old.serial);
    world.edge.kick_observers(std::slice::from_ref(&old.serial));
    client.expect(0xe0, &[0x87]).await;
    client.expect_closed().await;
    other.ping().await;
    let mut again = world.dial_with(&old).await;
    again.send(&connect("a", true, 60, None)).await;
    again.expect(0x20, &NOT_AUTHORIZED).await;
}

#[tokio::test]
async fn a_revoked_observer_does_not_interrupt_the_one_that_replaced_it() {
    let world = World::new().await;
    let (old, new) = (
        world.fleet.service("analytics"),
        world.fleet.service("analytics"),
    );
    world.host.refuse_certificate(&old.serial);
    let mut live = observer(&world, &new, "a").await;
    for _ in 0..3 {
        let mut revoked = world.dial_with(&old).await;
        revoked.send(&connect("a", true, 60, None)).await;
        revoked.expect(0x20, &NOT_AUTHORIZED).await;
        live.ping().await;
    }
}

#[tokio::test]
async fn an_observer_that_is_revoked_while_it_is_being_admitted_is_refused() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    world.host.admitting.close();
    let mut client = world.dial_with(&credentials).await;
    client.send(&connect("a", true, 60, None)).await;
    within("its registration", async {
        while world.edge.observer_certificates().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world
        .edge
        .kick_observers(std::slice::from_ref(&credentials.serial));
    client.expect(0x20, &NOT_AUTHORIZED).await;
    world.host.admitting.open();
}

#[tokio::test]
async fn client_ids_of_observers() {
    let world = World::with(|limits| limits.observers_max = 3).await;
    let credentials = world.fleet.service("analytics");
    // A device id is refused.
    let mut client = world.dial_with(&credentials).await;
    let id = device(1).to_string();
    client.send(&connect(&id, true, 60, None)).await;
    client.expect(0x20, &NOT_AUTHORIZED).await;
    // Without a client id the session must be clean (3.1.1); version 5 gets the assigned client id.
    let mut client = world.dial_with(&credentials).await;
    client.send(&connect("", false, 60, None)).await;
    client.expect(0x20, &[0, 2]).await;
    let _without_client_id = observer(&world, &credentials, "").await;
    let mut client = world.dial_with(&credentials).await;
    client.send(&connect_v5("", false, &[])).await;
    let connack = client.next().await.unwrap();
    let assigned = b"\x12\x00\x0banalytics/1";
    assert!(
        connack
            .body
            .windows(assigned.len())
            .any(|part| part == assigned)
    );
    // The same client id takes over, and a session is never kept.
    let mut older = observer(&world, &credentials, "a").await;
    let mut newer = world.dial_with(&credentials).await;
    newer.send(&connect("a", false, 60, None)).await;
    newer.expect(0x20, &ACCEPTED).await;
    older.expect_closed().await;
    newer.ping().await;
    // The limit of observers is reached.
    let mut another = world.dial_with(&credentials).await;
    another.send(&connect("b", true, 60, None)).await;
    another.expect(0x20, &[0, 3]).await;
}

#[tokio::test]
async fn an_observer_gets_a_disconnect_when_the_edge_stops() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut client = world.dial_with(&credentials).await;
    let hello = connect_raw(5, b"a", true, 60, Some(&[]), None);
    client.send(&hello).await;
    client.next().await.unwrap();
    world.stop.cancel();
    client.expect(0xe0, &[0x8b]).await;
    client.expect_closed().await;
    within("the end", world.edge.stopped()).await;
}

#[tokio::test]
async fn a_box_cannot_observe() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    client.send(&subscribe(1, &EVERYTHING)).await;
    client.expect(0x90, &[0, 1, 0x80, 0x80]).await;
    // It then receives only its own messages.
    client.subscribe_all(device(1)).await;
    world.publish(2, 2);
    world.publish(1, 1);
    let received = client.receive().await;
    assert_eq!(received.text, "1");
    client.send(&puback(received.id.unwrap())).await;
    client.send(&[0xe0, 0]).await;
    world
        .host
        .expect_end(device(1), EndReason::Disconnected)
        .await;
}
