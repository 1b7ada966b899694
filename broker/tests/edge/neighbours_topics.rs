//! Box A tries to use the topics of box B, in every way that topics offer, and is refused.

use wire::{Channel, DeviceId, Topic};

use crate::common::client::{
    WILL_QOS_1, connect, connect_v5, publish_v5, subscribe, unsubscribe, v5,
};
use crate::common::{World, device};

const A: u128 = 1;
const B: u128 = 2;

/// Topics of `b` (or of both, or of all devices) that are not topics of `a`, with a description of each.
fn ways(a: DeviceId, b: DeviceId, channel: Channel) -> Vec<(&'static str, String)> {
    let topic = Topic::new(b, channel).to_string();
    let own = Topic::new(a, channel).to_string();
    let path = channel.path();
    let direction = path
        .split_once('/')
        .map_or(path, |(direction, _)| direction);
    vec![
        ("other id", topic.clone()),
        ("wildcard: any device", format!("devices/+/{path}")),
        ("wildcard: everything", "#".to_owned()),
        ("wildcard: all of the other's", format!("devices/{b}/#")),
        (
            "wildcard: a level of the other's",
            format!("devices/{b}/{direction}/+"),
        ),
        (
            "wildcard: the other's tree",
            format!("devices/{b}/{direction}/#"),
        ),
        (
            "wildcard: beside the own tree",
            format!("devices/{a}/../{b}/{direction}/#"),
        ),
        ("prefix: longer", format!("x/{topic}")),
        ("prefix: a slash", format!("/{topic}")),
        (
            "prefix: a part of the id",
            format!("devices/{}+/{path}", &b.to_string()[..8]),
        ),
        ("suffix: a slash", format!("{topic}/")),
        ("suffix: longer", format!("{topic}/x")),
        ("suffix: behind the own topic", format!("{own}/{topic}")),
        ("suffix: NUL", format!("{topic}\0")),
        (
            "suffix: NUL behind the own topic",
            format!("{own}\0{topic}"),
        ),
        ("$share", format!("$share/group/{topic}")),
        ("$share of the own topic", format!("$share/group/{own}")),
        ("$share, wildcard", format!("$share/group/devices/+/{path}")),
        ("$queue", format!("$queue/{topic}")),
        ("$SYS", "$SYS/#".to_owned()),
        ("$SYS of the topic", format!("$SYS/{topic}")),
        ("case", topic.to_uppercase()),
        (
            "case of the id",
            topic.replace(&b.to_string(), &b.to_string().to_uppercase()),
        ),
        ("case of a word", topic.replacen("devices", "Devices", 1)),
        ("look-alike: Cyrillic", topic.replacen('e', "\u{435}", 1)),
        (
            "look-alike: full width",
            topic.replacen("devices", "\u{ff44}evices", 1),
        ),
        ("look-alike: division slash", topic.replace('/', "\u{2215}")),
        (
            "look-alike: zero width",
            topic.replacen("sbx_", "sbx\u{200b}_", 1),
        ),
        (
            "look-alike: soft hyphen in the own topic",
            own.replacen("sbx_", "sbx_\u{ad}", 1),
        ),
        ("percent: a letter", topic.replacen('d', "%64", 1)),
        ("percent: slashes", topic.replace('/', "%2F")),
        (
            "percent: the own id and back",
            format!("devices/{a}%2F..%2F{b}/{path}"),
        ),
        (
            "hyphenated id",
            format!("devices/sbx_{}/{path}", b.as_uuid().hyphenated()),
        ),
    ]
}

/// After all attempts of A, B still receives and sends.
async fn b_is_untouched(world: &World) {
    let mut b = world.listening_box(B).await;
    world.publish(B, 77);
    assert_eq!(b.receive_and_acknowledge().await, "77");
    b.publish(
        2,
        &Topic::new(device(B), Channel::Heartbeat).to_string(),
        9,
        b"b's heartbeat",
    )
    .await;
    b.expect(0x40, &[0, 9]).await;
}

#[tokio::test]
async fn a_cannot_publish_as_another_box() {
    let world = World::new().await;
    for channel in [
        Channel::Heartbeat,
        Channel::PaymentAck,
        Channel::PaymentSuccess,
    ] {
        for (way, topic) in ways(device(A), device(B), channel) {
            let mut v311 = world.connected_box(A).await;
            v311.publish(2, &topic, 1, b"as b").await;
            assert_eq!(v311.next().await, None, "{way}");

            let mut client = world.dial(A).await;
            client
                .send(&connect_v5(&device(A).to_string(), true, &[]))
                .await;
            client.next().await.unwrap();
            client.send(&publish_v5(2, &topic, 1, b"as b")).await;
            let answer = client.next().await.unwrap();
            assert_eq!(
                (answer.first, &answer.body[..]),
                (0x40, &[0, 1, 0x87][..]),
                "{way}"
            );
            client.ping().await;
        }
    }
    assert!(
        world.host.uplinks_begun(0).await.is_empty(),
        "nothing was taken"
    );
    b_is_untouched(&world).await;
}

#[tokio::test]
async fn a_cannot_leave_a_will_for_another_box() {
    let world = World::new().await;
    let id = device(A).to_string();
    for (way, topic) in ways(device(A), device(B), Channel::Status) {
        let mut client = world.dial(A).await;
        let will = Some((topic.as_str(), &b"b is offline"[..], WILL_QOS_1));
        client.send(&connect(&id, true, 60, will)).await;
        let answer = client.next().await.unwrap();
        assert_eq!(
            (answer.first, &answer.body[..]),
            (0x20, &[0, 5][..]),
            "{way}"
        );
        client.expect_closed().await;
    }
    assert!(world.host.calls().is_empty(), "the host was not called");
    b_is_untouched(&world).await;
}

#[tokio::test]
async fn a_can_neither_subscribe_to_another_boxs_topics_nor_unsubscribe_it() {
    let world = World::new().await;
    let mut b = world.listening_box(B).await;
    let mut a = world.listening_box(A).await;
    let mut a_of_version_5 = world.dial(3).await;
    a_of_version_5
        .send(&connect_v5(&device(3).to_string(), true, &[]))
        .await;
    a_of_version_5.next().await.unwrap();
    for channel in [
        Channel::PaymentSuccess,
        Channel::Command,
        Channel::Heartbeat,
    ] {
        for (way, filter) in ways(device(A), device(B), channel) {
            a.send(&subscribe(2, &[(&filter, 1)])).await;
            let answer = a.next().await.unwrap();
            assert_eq!(
                (answer.first, &answer.body[..]),
                (0x90, &[0, 2, 0x80][..]),
                "{way}"
            );
            a.send(&unsubscribe(3, &[&filter])).await;
            a.expect(0xb0, &[0, 3]).await;
        }
        for (way, filter) in ways(device(3), device(B), channel) {
            a_of_version_5
                .send(&v5(&subscribe(2, &[(&filter, 1)])))
                .await;
            let answer = a_of_version_5.next().await.unwrap();
            assert_eq!(answer.body, [0, 2, 0, 0x87], "{way}");
            a_of_version_5.send(&v5(&unsubscribe(3, &[&filter]))).await;
            // No subscription existed.
            a_of_version_5.expect(0xb0, &[0, 3, 0, 0x11]).await;
        }
    }
    // B receives its messages, and A only its own.
    world.publish(B, 50);
    world.publish(A, 60);
    assert_eq!(b.receive_and_acknowledge().await, "50");
    assert_eq!(a.receive_and_acknowledge().await, "60");
    a.ping().await;
    a_of_version_5.ping().await;
}
