//! Messages to boxes.

use broker::Downlink;
use bytes::Bytes;
use uuid::Uuid;
use wire::{Channel, Topic};

use crate::common::client::{Received, puback, subscribe};
use crate::common::host::HostCall;
use crate::common::{World, device, payment};

#[tokio::test]
async fn a_box_receives_what_is_published_to_it_and_nothing_else() {
    let world = World::new().await;
    let mut one = world.listening_box(1).await;
    let mut two = world.listening_box(2).await;
    world.publish(2, 20);
    world.publish(1, 10);
    assert_eq!(
        one.receive().await,
        Received {
            topic: Topic::new(device(1), Channel::PaymentSuccess).to_string(),
            text: "10".to_owned(),
            dup: false,
            id: Some(1),
        }
    );
    assert_eq!(two.receive().await.text, "20");
    one.ping().await;
    two.ping().await;
}

#[tokio::test]
async fn another_boxs_downlinks_cannot_be_subscribed_to() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    let (own, other) = (device(1), device(2));
    let filters = [
        format!("devices/{other}/downlink/#"),
        Topic::new(other, Channel::PaymentSuccess).to_string(),
        "devices/+/downlink/#".to_owned(),
        "#".to_owned(),
        "+/+/downlink/payment/success".to_owned(),
        format!("$share/g/devices/{own}/downlink/#"),
        format!("devices/{own}/#"),
        format!("devices/{own}/uplink/#"),
        Topic::new(own, Channel::Heartbeat).to_string(),
        "$SYS/#".to_owned(),
        String::new(),
    ];
    let filters: Vec<(&str, u8)> = filters.iter().map(|f| (f.as_str(), 1)).collect();
    client.send(&subscribe(5, &filters)).await;
    let mut answer = vec![0, 5];
    answer.resize(2 + filters.len(), 0x80);
    client.expect(0x90, &answer).await;
    world.publish(2, 1);
    world.publish(1, 2);
    client.ping().await;
    assert!(
        !world
            .host
            .calls()
            .iter()
            .any(|call| matches!(call, HostCall::Subscriptions(..) | HostCall::Listening(_))),
        "a refused subscription changes nothing"
    );
}

#[tokio::test]
async fn a_box_receives_only_the_channels_it_subscribed_to() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    let time = Topic::new(device(1), Channel::Time).to_string();
    client.send(&subscribe(1, &[(&time, 0)])).await;
    client.expect(0x90, &[0, 1, 0]).await;
    world.publish(1, 1);
    world.edge.publish(Downlink {
        channel: Channel::Time,
        ..payment(1, 2)
    });
    let received = client.receive().await;
    assert_eq!(
        (received.topic, received.id),
        (time, None),
        "at the requested quality"
    );
    client.ping().await;
}

#[tokio::test]
async fn the_window_holds_until_the_box_acknowledges() {
    let world = World::with(|limits| limits.in_flight_max = 2).await;
    let mut client = world.listening_box(1).await;
    for event in 1..=5 {
        world.publish(1, event);
    }
    assert_eq!(client.receive().await.id, Some(1));
    assert_eq!(client.receive().await.id, Some(2));
    client.ping().await;
    // Out of order, repeated, and of a packet that was never sent.
    for id in [2, 2, 77] {
        client.send(&puback(id)).await;
    }
    assert_eq!(client.receive().await.text, "3");
    client.ping().await;
    client.send(&puback(1)).await;
    client.send(&puback(3)).await;
    assert_eq!(client.receive().await.text, "4");
    assert_eq!(client.receive().await.text, "5");
}

#[tokio::test]
async fn a_confirmation_is_reported_once_with_the_key_of_its_message() {
    let world = World::new().await;
    let mut client = world.listening_box(1).await;
    for event in [1, 2] {
        world.publish(1, event);
        client.receive().await;
    }
    // Out of order, repeated, and of a packet that was never sent.
    for id in [2, 2, 77, 1] {
        client.send(&puback(id)).await;
    }
    client.ping().await;
    let keys = [2, 1].map(|event| payment(1, event).key.unwrap());
    assert_eq!(*world.host.confirmed.lock().unwrap(), keys);
}

#[tokio::test]
async fn an_event_in_flight_is_not_sent_a_second_time_until_it_is_acknowledged() {
    let world = World::new().await;
    let mut client = world.listening_box(1).await;
    world.publish(1, 1);
    let received = client.receive().await;
    for _ in 0..3 {
        world.publish(1, 1);
    }
    world.publish(1, 2);
    assert_eq!(client.receive_and_acknowledge().await, "2");
    client.send(&puback(received.id.unwrap())).await;
    client.ping().await;
    world.publish(1, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
}

#[tokio::test]
async fn after_a_reconnect_unacknowledged_packets_are_sent_first_marked_dup_with_their_ids() {
    let world = World::new().await;
    let mut client = world.persistent_box(1).await;
    for event in 1..=3 {
        world.publish(1, event);
    }
    for event in 1..=3 {
        assert_eq!(client.receive().await.text, event.to_string());
    }
    client.send(&puback(2)).await;
    client.ping().await;
    client.drop_connection();
    world.host.ended(device(1)).await;

    let mut client = world.dial(1).await;
    assert!(client.connect(device(1), false).await);
    // The outbox publishes everything again that is not acknowledged.
    for event in [1, 3, 4] {
        world.publish(1, event);
    }
    let again = |id: u16, event: &str| Received {
        topic: Topic::new(device(1), Channel::PaymentSuccess).to_string(),
        text: event.to_owned(),
        dup: true,
        id: Some(id),
    };
    assert_eq!(client.receive().await, again(1, "1"));
    assert_eq!(client.receive().await, again(3, "3"));
    let fresh = client.receive().await;
    assert_eq!(
        (fresh.text.as_str(), fresh.dup, fresh.id),
        ("4", false, Some(4))
    );
    client.ping().await;
}

#[tokio::test]
async fn a_clean_session_leaves_nothing_to_be_sent_again() {
    let world = World::new().await;
    let mut client = world.listening_box(1).await;
    world.publish(1, 1);
    client.receive().await;
    client.drop_connection();
    world.host.ended(device(1)).await;
    let mut client = world.listening_box(1).await;
    client.ping().await;
    world.publish(1, 2);
    assert_eq!(client.receive().await.text, "2");
}

#[tokio::test]
async fn a_full_queue_drops_messages_and_affects_no_other_box() {
    let world = World::with(|limits| {
        limits.in_flight_max = 1;
        limits.queue_max = 4;
    })
    .await;
    let mut slow = world.listening_box(1).await;
    let mut other = world.listening_box(2).await;
    world.publish(1, 1);
    assert_eq!(slow.receive().await.text, "1");
    for event in 2..=50 {
        world.publish(1, event);
    }
    world.publish(2, 99);
    assert_eq!(other.receive_and_acknowledge().await, "99");
    let mut received = Vec::new();
    slow.send(&puback(1)).await;
    for _ in 2..=5 {
        received.push(slow.receive_and_acknowledge().await);
    }
    assert_eq!(received, ["2", "3", "4", "5"], "the oldest four, in order");
    slow.ping().await;
    // The outbox publishes a dropped message again, and it is delivered then.
    world.publish(1, 6);
    assert_eq!(slow.receive_and_acknowledge().await, "6");
}

#[tokio::test]
async fn withdrawn_messages_are_not_received() {
    let world = World::with(|limits| limits.in_flight_max = 1).await;
    let mut client = world.listening_box(1).await;
    world.publish(1, 1);
    assert_eq!(client.receive().await.text, "1");
    for event in 2..=20 {
        world.publish(1, event);
    }
    // Some of these may still be inside the router.
    world.edge.drop_queued(device(1));
    world.publish(1, 21);
    client.send(&puback(1)).await;
    assert_eq!(client.receive_and_acknowledge().await, "21");
    client.ping().await;
}

#[tokio::test]
async fn what_is_withdrawn_while_the_box_is_disconnected_is_not_sent_again() {
    let world = World::new().await;
    let mut client = world.persistent_box(1).await;
    world.publish(1, 1);
    client.receive().await;
    client.drop_connection();
    world.host.ended(device(1)).await;
    world.edge.drop_queued(device(1));
    let mut client = world.dial(1).await;
    assert!(client.connect(device(1), false).await);
    client.ping().await;
    world.publish(1, 2);
    assert_eq!(client.receive().await.text, "2");
}

#[tokio::test]
async fn a_message_that_has_expired_in_the_queue_is_not_sent() {
    let world = World::with(|limits| limits.in_flight_max = 1).await;
    let mut client = world.listening_box(1).await;
    world.publish(1, 1);
    client.receive().await;
    world.edge.publish(Downlink {
        expires_s: Some(0),
        ..payment(1, 2)
    });
    world.publish(1, 3);
    client.send(&puback(1)).await;
    assert_eq!(client.receive().await.text, "3");
}

#[tokio::test]
async fn many_messages_to_many_boxes_all_arrive_in_order() {
    const BOXES: u128 = 20;
    const EACH: u128 = 100;
    let world = World::new().await;
    let mut clients = Vec::new();
    for number in 1..=BOXES {
        clients.push(world.listening_box(number).await);
    }
    for event in 0..EACH {
        for number in 1..=BOXES {
            world.edge.publish(Downlink {
                key: Some(Uuid::from_u128(number << 64 | event)),
                payload: Bytes::from(format!("{event}")),
                ..payment(number, event)
            });
        }
    }
    for client in &mut clients {
        for event in 0..EACH {
            assert_eq!(client.receive_and_acknowledge().await, event.to_string());
        }
    }
}
