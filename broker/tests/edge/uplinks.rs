//! Messages from boxes.

use broker::{EndReason, Limits};
use wire::Channel;

use crate::common::client::{Client, connect, publish, subscribe};
use crate::common::host::HostCall;
use crate::common::{World, device, topic};

const QOS_0: u8 = 0;
const QOS_1: u8 = 2;

fn small_limits(limits: &mut Limits) {
    limits.uplinks_unacknowledged_max = 3;
    limits.payment_acks_unacknowledged_max = 2;
}

#[tokio::test]
async fn puback_comes_only_after_the_message_is_durable_and_pings_are_answered_meanwhile() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    world.host.uplinks.close();
    client
        .publish(
            QOS_1,
            &topic(1, Channel::Heartbeat),
            7,
            b"{\"heartbeat\":1}",
        )
        .await;
    let begun = world.host.uplinks_begun(1).await;
    assert_eq!(
        begun[0],
        (Channel::Heartbeat, (&b"{\"heartbeat\":1}"[..]).into())
    );
    // If the PUBACK had been sent, it would precede these answers.
    client.ping().await;
    client.ping().await;
    world.host.uplinks.open();
    client.expect(0x40, &[0, 7]).await;
}

#[tokio::test]
async fn every_uplink_channel_of_the_contract_is_taken() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    for (id, channel) in (1..).zip(Channel::UPLINKS) {
        client.publish(QOS_1, &topic(1, channel), id, b"x").await;
        client.expect(0x40, &id.to_be_bytes()).await;
    }
    let begun = world.host.uplinks_begun(6).await;
    assert_eq!(
        begun
            .into_iter()
            .map(|(channel, _)| channel)
            .collect::<Vec<_>>(),
        Channel::UPLINKS
    );
}

#[tokio::test]
async fn an_uplink_that_follows_a_subscribe_is_taken_after_the_subscription_is_in_force() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    world.host.subscribing.close();
    let all = format!("devices/{}/downlink/#", device(1));
    client.send(&subscribe(1, &[(&all, 1)])).await;
    client
        .publish(QOS_1, &topic(1, Channel::Status), 2, b"online")
        .await;
    // Both have been read when this is answered.
    client.ping().await;
    let taken = |call: &HostCall| matches!(call, HostCall::Uplink(..)).then_some(());
    assert!(!world.host.calls().iter().any(|call| taken(call).is_some()));
    world.host.subscribing.open();
    client.expect(0x90, &[0, 1, 1]).await;
    client.expect(0x40, &[0, 2]).await;
    world.host.wait_for_call("the uplink", taken).await;
}

#[tokio::test]
async fn a_payment_ack_does_not_wait_behind_heartbeats_but_pubacks_keep_their_order() {
    let world = World::with(small_limits).await;
    let mut client = world.connected_box(1).await;
    world.host.heartbeats.close();
    for id in 1..=3 {
        client
            .publish(QOS_1, &topic(1, Channel::Heartbeat), id, b"heartbeat")
            .await;
    }
    // The heartbeats have reached their limit; payment acknowledgements have their own.
    client
        .publish(QOS_1, &topic(1, Channel::PaymentAck), 4, b"played")
        .await;
    let begun = world.host.uplinks_begun(4).await;
    assert_eq!(begun[3].0, Channel::PaymentAck);
    client.ping().await;
    world.host.heartbeats.open();
    for id in 1..=4 {
        client.expect(0x40, &[0, id]).await;
    }
}

#[tokio::test]
async fn a_box_with_too_many_unacknowledged_messages_is_disconnected() {
    let world = World::with(small_limits).await;
    let mut client = world.connected_box(1).await;
    world.host.uplinks.close();
    for id in 1..=4 {
        client
            .publish(QOS_1, &topic(1, Channel::Status), id, b"x")
            .await;
    }
    client.expect_closed().await;
    world.host.uplinks.open();
    world
        .host
        .expect_end(device(1), EndReason::TooManyUnacknowledged)
        .await;
    assert_eq!(world.host.uplinks_begun(3).await.len(), 3);
}

#[tokio::test]
async fn heartbeats_of_quality_0_over_the_limit_are_dropped_and_the_box_stays() {
    let world = World::with(small_limits).await;
    let mut client = world.connected_box(1).await;
    world.host.uplinks.close();
    for _ in 0..10 {
        client
            .publish(QOS_0, &topic(1, Channel::Heartbeat), 0, b"heartbeat")
            .await;
    }
    client.ping().await;
    assert_eq!(world.host.uplinks_begun(3).await.len(), 3);
    world.host.uplinks.open();
    client.ping().await;
    client
        .publish(QOS_1, &topic(1, Channel::Status), 9, b"x")
        .await;
    client.expect(0x40, &[0, 9]).await;
}

#[tokio::test]
async fn a_burst_in_one_piece_is_below_the_limit_when_the_host_keeps_up() {
    let world = World::with(small_limits).await;
    let mut client = world.connected_box(1).await;
    let mut burst = Vec::new();
    for id in 1..=50 {
        burst.extend(publish(QOS_1, &topic(1, Channel::Status), id, b"x"));
    }
    client.send(&burst).await;
    for id in 1..=50 {
        client.expect(0x40, &[0, id]).await;
    }
}

#[tokio::test]
async fn when_the_host_cannot_take_a_message_the_box_is_disconnected_without_a_puback() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    *world.host.unavailable.lock().unwrap() = true;
    client
        .publish(QOS_0, &topic(1, Channel::Heartbeat), 0, b"heartbeat")
        .await;
    client.ping().await;
    client
        .publish(QOS_1, &topic(1, Channel::PaymentAck), 1, b"played")
        .await;
    client.expect_closed().await;
    world
        .host
        .expect_end(device(1), EndReason::Unavailable)
        .await;
}

#[tokio::test]
async fn uplinks_before_a_disconnect_are_taken_before_the_session_ends() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    world.host.uplinks.close();
    let mut bytes = publish(QOS_0, &topic(1, Channel::Heartbeat), 0, b"last");
    bytes.extend([0xe0, 0]);
    client.send(&bytes).await;
    client.expect_closed().await;
    world.host.uplinks_begun(1).await;
    world.host.uplinks.open();
    world
        .host
        .expect_end(device(1), EndReason::Disconnected)
        .await;
}

#[tokio::test]
async fn a_publish_to_any_topic_but_the_boxs_own_uplinks_closes_the_connection() {
    let world = World::new().await;
    let topics = [
        topic(2, Channel::Heartbeat),
        topic(2, Channel::PaymentSuccess),
        topic(1, Channel::PaymentSuccess),
        "devices/+/uplink/heartbeat".to_owned(),
        "#".to_owned(),
        "$SYS/broker".to_owned(),
        format!("{}\0", topic(1, Channel::Heartbeat)),
        format!("{}/", topic(1, Channel::Heartbeat)),
        format!("/{}", topic(1, Channel::Heartbeat)),
        topic(1, Channel::Heartbeat).to_uppercase(),
        String::new(),
    ];
    let mut neighbour = world.listening_box(2).await;
    for topic in topics {
        for flags in [QOS_0, QOS_1] {
            let mut client = world.connected_box(1).await;
            client.publish(flags, &topic, 1, b"x").await;
            client.expect_closed().await;
        }
    }
    neighbour.ping().await;
    assert!(world.host.uplinks_begun(0).await.is_empty());
    for (_, reason) in world.host.ends(device(1), 22).await {
        assert_eq!(reason, EndReason::NotAuthorized);
    }
}

#[tokio::test]
async fn quality_2_closes_the_connection() {
    let world = World::new().await;
    for (number, flags) in [(1, 4), (2, 5), (3, 0xc)] {
        let mut client = world.connected_box(number).await;
        client
            .publish(flags, &topic(number, Channel::Status), 1, b"x")
            .await;
        client.expect_closed().await;
        world
            .host
            .expect_end(device(number), EndReason::QosNotSupported)
            .await;
    }
    assert!(world.host.uplinks_begun(0).await.is_empty());
}

#[tokio::test]
async fn retain_and_a_stray_dup_are_ignored_in_3_1_1_and_nothing_is_retained() {
    const RETAIN: u8 = 1;
    const DUP: u8 = 8;
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    let heartbeat = topic(1, Channel::Heartbeat);
    let mut sent = 0;
    for flags in [QOS_0, QOS_1, QOS_1 | DUP, DUP] {
        for flags in [flags, flags | RETAIN] {
            client.publish(flags, &heartbeat, 1, &[flags]).await;
            if flags & QOS_1 != 0 {
                client.expect(0x40, &[0, 1]).await;
            }
            client.ping().await;
            sent += 1;
            let begun = world.host.uplinks_begun(sent).await;
            assert_eq!(begun[sent - 1], (Channel::Heartbeat, vec![flags].into()));
        }
    }
    // An observer that subscribes later gets no retained message, and its copies are not marked as retained.
    let credentials = world.fleet.service("analytics");
    let mut observer = Client::dial(world.edge.local_addr(), &credentials)
        .await
        .unwrap();
    observer.send(&connect("a", true, 60, None)).await;
    observer.expect(0x20, &[0, 0]).await;
    observer
        .send(&subscribe(1, &[("devices/+/uplink/#", 0)]))
        .await;
    observer.expect(0x90, &[0, 1, 0]).await;
    observer.ping().await;
    client
        .publish(QOS_1 | RETAIN, &heartbeat, 2, b"fresh")
        .await;
    client.expect(0x40, &[0, 2]).await;
    let received = observer.next().await.unwrap();
    assert_eq!(received.first, 0x30);
    assert!(received.body.ends_with(b"fresh"));
}

#[tokio::test]
async fn a_box_that_publishes_too_fast_is_delayed_and_its_payment_acks_are_not() {
    let world = World::with(|limits| limits.publishes_per_s_max = 1).await;
    let mut client = world.connected_box(1).await;
    let heartbeat = topic(1, Channel::Heartbeat);
    client.publish(QOS_1, &heartbeat, 1, b"1").await;
    client.expect(0x40, &[0, 1]).await;
    client.publish(QOS_1, &heartbeat, 2, b"2").await;
    let ack = topic(1, Channel::PaymentAck);
    client.publish(QOS_1, &ack, 3, b"3").await;
    // Nothing is acknowledged before this is answered, and the host has the payment acknowledgement first.
    client.ping().await;
    let begun = world.host.uplinks_begun(2).await;
    assert_eq!(begun[1].0, Channel::PaymentAck);
    // PUBACKs leave in the order in which the messages came.
    client.expect(0x40, &[0, 2]).await;
    client.expect(0x40, &[0, 3]).await;
    assert_eq!(world.host.uplinks_begun(3).await[2].1, &b"2"[..]);
}

#[tokio::test]
async fn delayed_uplinks_count_as_unacknowledged() {
    let world = World::with(|limits| {
        limits.publishes_per_s_max = 1;
        limits.uplinks_unacknowledged_max = 2;
    })
    .await;
    let mut client = world.connected_box(1).await;
    let heartbeat = topic(1, Channel::Heartbeat);
    client.publish(QOS_1, &heartbeat, 1, b"1").await;
    client.expect(0x40, &[0, 1]).await;
    // Two are delayed, quality 0 is dropped after them, and another of quality 1 exceeds the limit.
    let mut rest = publish(QOS_1, &heartbeat, 2, b"2");
    rest.extend(publish(QOS_1, &heartbeat, 3, b"3"));
    rest.extend(publish(QOS_0, &heartbeat, 0, b"dropped"));
    client.send(&rest).await;
    client.ping().await;
    client.publish(QOS_1, &heartbeat, 4, b"4").await;
    client.expect_closed().await;
    world
        .host
        .expect_end(device(1), EndReason::TooManyUnacknowledged)
        .await;
}
