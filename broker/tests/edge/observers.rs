//! Services that watch the fleet, and can do nothing else.

use broker::{EndReason, Limits};
use wire::{Channel, Topic};

use crate::common::client::{
    Client, Heard, WILL_QOS_1, connect, connect_raw, connect_v5, puback, publish, publish_raw,
    publish_v5, subscribe, unsubscribe, v5,
};
use crate::common::fleet::Credentials;
use crate::common::{World, device, within};

const ACCEPTED: [u8; 2] = [0, 0];
const NOT_AUTHORIZED: [u8; 2] = [0, 5];
const EVERYTHING: [(&str, u8); 2] = [("devices/+/uplink/#", 1), ("devices/+/downlink/#", 1)];

async fn dial(world: &World, credentials: &Credentials) -> Client {
    let dialled = Client::dial(world.edge.local_addr(), credentials);
    within("a handshake", dialled).await.unwrap()
}

/// A service with version 3.1.1.
async fn observer(world: &World, credentials: &Credentials, client_id: &str) -> Client {
    let mut client = dial(world, credentials).await;
    client.send(&connect(client_id, true, 60, None)).await;
    client.expect(0x20, &ACCEPTED).await;
    client
}

async fn watching_everything(world: &World) -> Client {
    let credentials = world.fleet.service("analytics");
    let mut client = observer(world, &credentials, "analytics-1").await;
    client.send(&subscribe(1, &EVERYTHING)).await;
    client.expect(0x90, &[0, 1, 0, 0]).await;
    client
}

fn topic(number: u128, channel: Channel) -> String {
    Topic::new(device(number), channel).to_string()
}

fn copy(number: u128, channel: Channel, text: &str) -> Heard {
    Heard {
        topic: topic(number, channel),
        text: text.to_owned(),
        dup: false,
        id: None,
    }
}

#[tokio::test]
async fn an_observer_gets_copies_of_what_boxes_say_and_are_told() {
    let world = World::new().await;
    let mut observer = watching_everything(&world).await;
    for number in [1, 2] {
        let mut client = world.listening_box(number).await;
        client
            .send(&publish(2, &topic(number, Channel::Heartbeat), 7, b"beat"))
            .await;
        client.expect(0x40, &[0, 7]).await;
        assert_eq!(
            observer.hear().await,
            copy(number, Channel::Heartbeat, "beat")
        );
        world.publish(number, 50);
        assert_eq!(client.hear_and_acknowledge().await, "50");
        assert_eq!(
            observer.hear().await,
            copy(number, Channel::PaymentSuccess, "50")
        );
    }
}

#[tokio::test]
async fn an_observer_hears_only_what_was_durable_and_what_it_asked_for() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut observer = observer(&world, &credentials, "a").await;
    let filter = "devices/+/uplink/status";
    observer.send(&subscribe(1, &[(filter, 0)])).await;
    observer.expect(0x90, &[0, 1, 0]).await;
    let mut client = world.connected_box(1).await;
    *world.host.unavailable.lock().unwrap() = true;
    client
        .send(&publish(2, &topic(1, Channel::Status), 1, b"not taken"))
        .await;
    client.expect_closed().await;
    *world.host.unavailable.lock().unwrap() = false;
    let mut client = world.connected_box(1).await;
    for (channel, text) in [
        (Channel::Heartbeat, &b"not asked for"[..]),
        (Channel::Status, b"taken"),
    ] {
        client.send(&publish(2, &topic(1, channel), 1, text)).await;
        client.expect(0x40, &[0, 1]).await;
    }
    assert_eq!(observer.hear().await, copy(1, Channel::Status, "taken"));
    observer.send(&unsubscribe(2, &[filter])).await;
    observer.expect(0xb0, &[0, 2]).await;
    client
        .send(&publish(2, &topic(1, Channel::Status), 1, b"any more"))
        .await;
    client.expect(0x40, &[0, 1]).await;
    observer.ping().await;
}

#[tokio::test]
async fn a_will_is_heard_like_the_status_that_it_stands_for() {
    let world = World::new().await;
    let mut observer = watching_everything(&world).await;
    let mut client = world.dial(1).await;
    let status = topic(1, Channel::Status);
    let will = Some((status.as_str(), &b"offline"[..], WILL_QOS_1));
    client
        .send(&connect(&device(1).to_string(), true, 60, will))
        .await;
    client.expect(0x20, &ACCEPTED).await;
    client.vanish();
    assert_eq!(observer.hear().await, copy(1, Channel::Status, "offline"));
}

#[tokio::test]
async fn user_properties_come_through_to_version_5() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut observer = dial(&world, &credentials).await;
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
        .send(&publish_raw(2, own.as_bytes(), 7, Some(&property), b"beat"))
        .await;
    client.expect(0x40, &[0, 7]).await;
    let copied = publish_raw(0, own.as_bytes(), 0, Some(&property), b"beat");
    observer.expect(0x30, &copied[2..]).await;
}

#[tokio::test]
async fn an_observer_publishes_nothing() {
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
            client.send(&publish(flags, topic, 1, b"x")).await;
            client.expect_closed().await;
        }
        let mut client = dial(&world, &credentials).await;
        client.send(&connect_v5("a", true, &[])).await;
        assert_eq!(client.next().await.unwrap().body[..2], ACCEPTED);
        client.send(&publish_v5(0, topic, 0, b"x")).await;
        client.send(&publish_v5(2, topic, 1, b"x")).await;
        client.expect(0x40, &[0, 1, 0x87]).await;
        client.ping().await;
    }
    let mut client = dial(&world, &credentials).await;
    let will = Some((topics[0].as_str(), &b"x"[..], WILL_QOS_1));
    client.send(&connect("a", true, 60, will)).await;
    client.expect(0x20, &NOT_AUTHORIZED).await;
    neighbour.ping().await;
    assert!(world.host.uplinks_begun(0).await.is_empty());
}

#[tokio::test]
async fn an_observer_subscribes_to_nothing_but_the_fleet() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut client = dial(&world, &credentials).await;
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
async fn subscriptions_beyond_the_limit_are_refused_as_such() {
    let world = World::with(Limits {
        subscriptions_max: 2,
        ..Limits::default()
    })
    .await;
    let credentials = world.fleet.service("analytics");
    let mut client = dial(&world, &credentials).await;
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
async fn an_observer_that_does_not_read_loses_copies_and_holds_up_nobody() {
    let world = World::with(Limits {
        observer_queue_bytes_max: 8 * 1024,
        ..Limits::default()
    })
    .await;
    // It subscribes and never reads again.
    let mut slow = watching_everything(&world).await;
    let mut other = watching_everything_as(&world, "other").await;
    let mut client = world.listening_box(1).await;
    let text = "x".repeat(60_000);
    for id in 1..=100_u16 {
        client
            .send(&publish(
                2,
                &topic(1, Channel::Heartbeat),
                id,
                text.as_bytes(),
            ))
            .await;
        client.expect(0x40, &id.to_be_bytes()).await;
    }
    world.publish(1, 1);
    assert_eq!(client.hear_and_acknowledge().await, "1");
    // Copies this large never fit into the queue; the small one does.
    for observer in [&mut slow, &mut other] {
        assert_eq!(observer.hear().await, copy(1, Channel::PaymentSuccess, "1"));
    }
}

async fn watching_everything_as(world: &World, name: &str) -> Client {
    let credentials = world.fleet.service(name);
    let mut client = observer(world, &credentials, name).await;
    client.send(&subscribe(1, &EVERYTHING)).await;
    client.expect(0x90, &[0, 1, 0, 0]).await;
    client
}

#[tokio::test]
async fn an_observer_that_leaves_what_it_is_sent_unread_is_ended() {
    let world = World::with(Limits {
        write_ms_max: 200,
        ..Limits::default()
    })
    .await;
    let _unread = watching_everything(&world).await;
    let mut client = world.connected_box(1).await;
    let text = "x".repeat(60_000);
    within("the end of the observer", async {
        let mut id = 0_u16;
        while !world.edge.observer_certificates().is_empty() {
            id = id.checked_add(1).unwrap_or(1);
            let beat = publish(2, &topic(1, Channel::Heartbeat), id, text.as_bytes());
            client.send(&beat).await;
            client.expect(0x40, &id.to_be_bytes()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_observer_is_gone_and_does_not_come_back() {
    let world = World::new().await;
    let (old, new) = (
        world.fleet.service("analytics"),
        world.fleet.service("analytics"),
    );
    let mut client = dial(&world, &old).await;
    client.send(&connect_v5("a", true, &[])).await;
    client.next().await.unwrap();
    let mut other = observer(&world, &new, "b").await;
    assert_eq!(world.edge.observer_certificates().len(), 2);
    let revoked = [old.serial.clone()];
    world
        .host
        .refused_observers
        .lock()
        .unwrap()
        .extend(revoked.clone());
    world.edge.revoke_observers(&revoked);
    client.expect(0xe0, &[0x87]).await;
    client.expect_closed().await;
    other.ping().await;
    let mut again = dial(&world, &old).await;
    again.send(&connect("a", true, 60, None)).await;
    again.expect(0x20, &NOT_AUTHORIZED).await;
}

#[tokio::test]
async fn an_observer_that_is_revoked_while_it_is_being_admitted_does_not_get_in() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    world.host.admitting.close();
    let mut client = dial(&world, &credentials).await;
    client.send(&connect("a", true, 60, None)).await;
    within("its place", async {
        while world.edge.observer_certificates().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world
        .edge
        .revoke_observers(std::slice::from_ref(&credentials.serial));
    client.expect(0x20, &NOT_AUTHORIZED).await;
    world.host.admitting.open();
}

#[tokio::test]
async fn names_of_observers_connections() {
    let world = World::with(Limits {
        observers_max: 3,
        ..Limits::default()
    })
    .await;
    let credentials = world.fleet.service("analytics");
    // A box's name is a box's.
    let mut client = dial(&world, &credentials).await;
    let id = device(1).to_string();
    client.send(&connect(&id, true, 60, None)).await;
    client.expect(0x20, &NOT_AUTHORIZED).await;
    // Without a name a session cannot be asked to be kept (3.1.1); version 5 is told the name it got.
    let mut client = dial(&world, &credentials).await;
    client.send(&connect("", false, 60, None)).await;
    client.expect(0x20, &[0, 2]).await;
    let _nameless = observer(&world, &credentials, "").await;
    let mut client = dial(&world, &credentials).await;
    client.send(&connect_v5("", false, &[])).await;
    let connack = client.next().await.unwrap();
    let given = b"\x12\x00\x0banalytics/1";
    assert!(connack.body.windows(given.len()).any(|part| part == given));
    // The same name takes over, and a session is never kept.
    let mut older = observer(&world, &credentials, "a").await;
    let mut newer = dial(&world, &credentials).await;
    newer.send(&connect("a", false, 60, None)).await;
    newer.expect(0x20, &ACCEPTED).await;
    older.expect_closed().await;
    newer.ping().await;
    // There is a limit.
    let mut another = dial(&world, &credentials).await;
    another.send(&connect("b", true, 60, None)).await;
    another.expect(0x20, &[0, 3]).await;
}

#[tokio::test]
async fn an_observer_is_told_when_the_edge_goes_down() {
    let world = World::new().await;
    let credentials = world.fleet.service("analytics");
    let mut client = dial(&world, &credentials).await;
    let hello = connect_raw(5, b"a", true, 60, Some(&[]), None);
    client.send(&hello).await;
    client.next().await.unwrap();
    world.stop.cancel();
    client.expect(0xe0, &[0x8b]).await;
    client.expect_closed().await;
    within("the end", world.edge.stopped()).await;
}

#[tokio::test]
async fn a_box_is_no_observer() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    client.send(&subscribe(1, &EVERYTHING)).await;
    client.expect(0x90, &[0, 1, 0x80, 0x80]).await;
    // What it hears after that is its own.
    client.subscribe_all(device(1)).await;
    world.publish(2, 2);
    world.publish(1, 1);
    let heard = client.hear().await;
    assert_eq!(heard.text, "1");
    client.send(&puback(heard.id.unwrap())).await;
    client.send(&[0xe0, 0]).await;
    let (reason, ..) = world.host.ended(device(1)).await;
    assert_eq!(reason, EndReason::Disconnected);
}
