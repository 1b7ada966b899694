//! Boxes of other makers: they connect with user name and password and use topics of their own.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker::{Downlink, EndReason, Published, Undelivered};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;
use wire::Channel;

use crate::common::client::{
    Client, WILL_QOS_1, connect, connect_login, connect_v5, puback, publish, publish_v5, subscribe,
    v5,
};
use crate::common::{World, device, payment, within};

const PASSWORD: &str = "correct horse";

/// A box that has logged in, version 3.1.1.
async fn logged_in(world: &World, number: u128, plain: bool) -> Client {
    let user_name = world.allow_login(number, PASSWORD);
    let mut client = world.dial_for_password(plain).await;
    client
        .send(&connect_login(
            false,
            "soundbox",
            &user_name,
            PASSWORD.as_bytes(),
            None,
        ))
        .await;
    let connack = client.next().await.unwrap();
    assert_eq!((connack.first, connack.body[1]), (0x20, 0));
    client
}

/// A box that has logged in and subscribed to its topics.
async fn listening(world: &World, number: u128, plain: bool) -> Client {
    let mut client = logged_in(world, number, plain).await;
    let [pay, rest] = ["pay", "rest"].map(|end| format!("box/{number}/{end}"));
    client.send(&subscribe(1, &[(&pay, 1), (&rest, 1)])).await;
    client.expect(0x90, &[0, 1, 1, 1]).await;
    client
}

fn command(number: u128, key: u128) -> Downlink {
    Downlink {
        channel: Channel::Command,
        payload: Bytes::from_static(b"reboot"),
        ..payment(number, key)
    }
}

#[tokio::test]
async fn a_box_with_a_password_hears_and_speaks_on_its_own_topics() {
    let world = World::new().await;
    for (number, plain) in [(1, false), (2, true)] {
        let mut client = listening(&world, number, plain).await;
        world.publish(number, number);
        let received = client.receive().await;
        assert_eq!(received.topic, format!("box/{number}/pay"));
        assert_eq!(received.text, number.to_string());
        client.send(&puback(received.id.unwrap())).await;
        world.edge.publish(command(number, 100 + number));
        assert_eq!(client.receive().await.topic, format!("box/{number}/rest"));
        let ack = format!("box/{number}/ack");
        client.publish(2, &ack, 7, b"{}").await;
        client.expect(0x40, &[0, 7]).await;
        assert!(
            world
                .host
                .topics
                .lock()
                .unwrap()
                .contains(&(device(number), ack))
        );
    }
    let uplinks = world.host.uplinks_begun(2).await;
    assert!(
        uplinks
            .iter()
            .all(|(channel, _)| *channel == Channel::PaymentAck)
    );
    let confirmed = world.host.confirmed.lock().unwrap().clone();
    assert_eq!(confirmed, [Uuid::from_u128(1), Uuid::from_u128(2)]);
}

#[tokio::test]
async fn a_box_hears_only_what_goes_out_on_the_topics_that_it_subscribed_to() {
    let world = World::new().await;
    let mut client = logged_in(&world, 1, true).await;
    client.send(&subscribe(1, &[("box/1/pay", 1)])).await;
    client.expect(0x90, &[0, 1, 1]).await;
    let refused = world.edge.publish(command(1, 9));
    assert_eq!(refused, Published::Refused(Undelivered::NotSubscribed));
    world.publish(1, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
}

#[tokio::test]
async fn the_topics_of_another_box_and_of_the_contract_are_refused() {
    let world = World::new().await;
    world.allow_login(2, PASSWORD);
    let own_by_contract = format!("devices/{}/downlink/#", device(1));
    let mut client = logged_in(&world, 1, false).await;
    for filter in [
        "box/2/pay",
        "box/+/pay",
        "box/1/#",
        "box/1/up",
        "#",
        "$share/g/box/1/pay",
        &own_by_contract,
    ] {
        client.send(&subscribe(1, &[(filter, 1)])).await;
        client.expect(0x90, &[0, 1, 0x80]).await;
    }
    client.publish(2, "box/2/up", 1, b"x").await;
    client.expect_closed().await;
    world
        .host
        .expect_end(device(1), EndReason::NotAuthorized)
        .await;

    let mut client = world.dial_for_password(true).await;
    let hello = connect_login(true, "x", "SN1", PASSWORD.as_bytes(), None);
    client.send(&hello).await;
    assert_eq!(client.next().await.unwrap().body[1], 0);
    let own_uplink = format!("devices/{}/uplink/heartbeat", device(1));
    for topic in ["box/2/up", "box/1/pay", &own_uplink] {
        client.send(&publish_v5(2, topic, 5, b"x")).await;
        client.expect(0x40, &[0, 5, 0x87]).await;
    }
    client.send(&v5(&subscribe(6, &[("box/2/pay", 1)]))).await;
    client.expect(0x90, &[0, 6, 0, 0x87]).await;
    assert!(world.host.topics.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_topic_that_all_publish_to_is_attributed_to_the_session() {
    let world = World::new().await;
    for number in [1, 2] {
        let mut client = logged_in(&world, number, true).await;
        // The payload names the other one.
        client.publish(2, "qris/request", 1, b"1|5000").await;
        client.expect(0x40, &[0, 1]).await;
    }
    let topics = world.host.topics.lock().unwrap().clone();
    let of = |number| (device(number), "qris/request".to_owned());
    assert_eq!(topics, [of(1), of(2)]);
}

#[tokio::test]
async fn a_will_goes_to_a_topic_that_the_box_may_publish() {
    let world = World::new().await;
    world.allow_login(1, PASSWORD);
    let hello = |topic| {
        let will = Some((topic, &b"gone"[..], WILL_QOS_1));
        connect_login(false, "x", "SN1", PASSWORD.as_bytes(), will)
    };
    let mut client = world.dial_for_password(true).await;
    client.send(&hello("box/2/up")).await;
    client.expect(0x20, &[0, 5]).await;
    let mut client = world.dial_for_password(true).await;
    client.send(&hello("box/1/up")).await;
    client.expect(0x20, &[0, 0]).await;
    client.drop_connection();
    let (_, will, _) = world.host.ended(device(1)).await;
    assert_eq!(will, Some(Bytes::from_static(b"gone")));
}

#[tokio::test]
async fn a_wrong_login_is_refused_with_the_code_for_it() {
    let world = World::new().await;
    world.allow_login(1, PASSWORD);
    let long = "x".repeat(300);
    for (user_name, password) in [
        ("SN1", "wrong"),
        ("SN1", ""),
        ("SN2", PASSWORD),
        ("", PASSWORD),
        ("SN1", &long),
        (&long, PASSWORD),
    ] {
        for (version5, answer) in [(false, &[0, 4][..]), (true, &[0, 0x86, 0])] {
            let mut client = world.dial_for_password(true).await;
            client
                .send(&connect_login(
                    version5,
                    "x",
                    user_name,
                    password.as_bytes(),
                    None,
                ))
                .await;
            client.expect(0x20, answer).await;
            client.expect_closed().await;
        }
    }
    // None at all; no client id; the client id of another device.
    for (hello, answer) in [
        (connect("x", true, 60, None), &[0, 4][..]),
        (connect_v5("x", true, &[]), &[0, 0x86, 0]),
        (
            connect_login(false, "", "SN1", PASSWORD.as_bytes(), None),
            &[0, 2],
        ),
        (
            connect_login(
                false,
                &device(2).to_string(),
                "SN1",
                PASSWORD.as_bytes(),
                None,
            ),
            &[0, 5],
        ),
    ] {
        let mut client = world.dial_for_password(true).await;
        client.send(&hello).await;
        client.expect(0x20, answer).await;
    }
    assert!(world.host.calls().is_empty(), "nobody was admitted");
    *world.host.unavailable.lock().unwrap() = true;
    let mut client = world.dial_for_password(true).await;
    client
        .send(&connect_login(false, "x", "SN1", PASSWORD.as_bytes(), None))
        .await;
    client.expect(0x20, &[0, 3]).await;
}

#[tokio::test]
async fn a_password_is_no_use_where_a_certificate_is_asked_for() {
    let world = World::new().await;
    world.allow_login(1, PASSWORD);
    let mut client = world.dial(2).await;
    client
        .send(&connect_login(
            false,
            "soundbox",
            "SN1",
            PASSWORD.as_bytes(),
            None,
        ))
        .await;
    client.expect(0x20, &[0, 5]).await;
    assert_eq!(world.host.logins_checked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_never_keeps_out_the_right_one() {
    let world = World::with(|limits| limits.failed_logins_per_s = 1).await;
    world.allow_login(1, PASSWORD);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = world.dial_for_password(true).await;
        client
            .send(&connect_login(false, "x", "SN1", b"guess", None))
            .await;
        waiting.push(client);
    }
    within("all guesses", async {
        while world.host.logins_checked.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let started = Instant::now();
    let mut client = listening(&world, 1, true).await;
    world.publish(1, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
    assert!(started.elapsed() < Duration::from_secs(2));
    // The first guess was answered at once, a later one is still held back.
    waiting[0].expect(0x20, &[0, 4]).await;
    let next = tokio::time::timeout(Duration::from_millis(300), waiting[19].next());
    assert!(next.await.is_err());
}

#[tokio::test]
async fn a_newer_connection_takes_over_and_a_wrong_password_interrupts_nothing() {
    let world = World::new().await;
    let mut first = listening(&world, 1, true).await;
    let mut guessing = world.dial_for_password(true).await;
    guessing
        .send(&connect_login(false, "soundbox", "SN1", b"wrong", None))
        .await;
    guessing.expect(0x20, &[0, 4]).await;
    first.ping().await;
    let mut second = logged_in(&world, 1, false).await;
    first.expect_closed().await;
    world.host.expect_end(device(1), EndReason::TakenOver).await;
    // The session was kept, with its subscriptions.
    world.publish(1, 1);
    assert_eq!(second.receive_and_acknowledge().await, "1");
}

#[tokio::test]
async fn a_message_without_puback_is_sent_again_on_the_next_connection() {
    let world = World::new().await;
    let mut first = listening(&world, 1, true).await;
    world.publish(1, 1);
    let received = first.receive().await;
    first.drop_connection();
    world
        .host
        .expect_end(device(1), EndReason::ConnectionLost)
        .await;
    let mut second = logged_in(&world, 1, true).await;
    let again = second.receive().await;
    assert_eq!((again.topic, again.text), (received.topic, received.text));
    assert!(again.dup);
}

#[tokio::test]
async fn a_message_of_quality_0_is_sent_once_on_a_connection() {
    let world = World::new().await;
    let mut client = logged_in(&world, 1, true).await;
    client.send(&subscribe(1, &[("box/1/pay", 0)])).await;
    client.expect(0x90, &[0, 1, 0]).await;
    for event in [1, 1, 2, 1, 2] {
        world.publish(1, event);
    }
    for event in ["1", "2"] {
        let received = client.receive().await;
        assert_eq!((received.text.as_str(), received.id), (event, None));
    }
    client.ping().await;
    client.drop_connection();
    world
        .host
        .expect_end(device(1), EndReason::ConnectionLost)
        .await;
    // Nobody knows whether it was heard: within its time it is sent on the next connection.
    let mut client = logged_in(&world, 1, true).await;
    world.publish(1, 1);
    assert_eq!(client.receive().await.text, "1");
}

#[tokio::test]
async fn a_revoked_password_ends_the_session_at_once() {
    let world = World::new().await;
    let mut client = listening(&world, 1, true).await;
    let mut other = listening(&world, 2, true).await;
    world
        .edge
        .kick_certificates(device(1), &["password of 1".to_owned()]);
    client.expect_closed().await;
    world.host.expect_end(device(1), EndReason::Revoked).await;
    other.ping().await;
    // It is checked again when it connects, after its password was found to be right.
    world.host.refuse_certificate("password of 1");
    let mut client = world.dial_for_password(true).await;
    client
        .send(&connect_login(false, "x", "SN1", PASSWORD.as_bytes(), None))
        .await;
    client.expect(0x20, &[0, 5]).await;
}

#[tokio::test]
async fn a_kick_during_the_admission_counts() {
    let world = World::new().await;
    world.allow_login(1, PASSWORD);
    world.host.admitting.close();
    let mut client = world.dial_for_password(true).await;
    client
        .send(&connect_login(false, "x", "SN1", PASSWORD.as_bytes(), None))
        .await;
    world
        .host
        .called(crate::common::host::HostCall::Admitting(device(1)))
        .await;
    world
        .edge
        .kick_certificates(device(1), &["password of 1".to_owned()]);
    client.expect(0x20, &[0, 5]).await;
    world.host.admitting.open();
    world.host.expect_end(device(1), EndReason::Revoked).await;
}

#[tokio::test]
async fn hostile_clients_of_the_listener_without_tls_harm_nobody_else() {
    let world = World::with(|limits| limits.connect_ms_max = 2_000).await;
    let mut by_certificate = world.listening_box(1).await;
    let mut by_password = listening(&world, 2, true).await;
    let mut open = Vec::new();
    for number in 0..300_u32 {
        let address = world.edge.plain_addr().unwrap();
        let connected = within("TCP", tokio::net::TcpStream::connect(address)).await;
        let mut stream = connected.unwrap();
        let bytes: Vec<u8> = match number % 5 {
            0 => Vec::new(),
            1 => connect_login(false, "x", "SN2", b"guess", None)[..20].to_vec(),
            2 => connect_login(false, "x", &number.to_string(), b"guess", None),
            // 200 KB, only the header.
            3 => vec![0x10, 0xc0, 0x9a, 0x0c],
            _ => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        };
        stream.write_all(&bytes).await.unwrap();
        open.push(stream);
    }
    for event in 1..=20 {
        world.publish(1, event);
        world.publish(2, 100 + event);
        assert_eq!(
            by_certificate.receive_and_acknowledge().await,
            event.to_string()
        );
        assert_eq!(
            by_password.receive_and_acknowledge().await,
            (100 + event).to_string()
        );
    }
    // Another one can still join.
    listening(&world, 3, true).await;
    // A flood of one box ends its own session.
    world.host.uplinks.close();
    let mut flooding = logged_in(&world, 4, true).await;
    let mut burst = Vec::new();
    for id in 1..=1_000 {
        burst.extend(publish(2, "box/4/up", id, b"x"));
    }
    let _ = flooding.try_send(&burst).await;
    world
        .host
        .expect_end(device(4), EndReason::TooManyUnacknowledged)
        .await;
    world.host.uplinks.open();
    by_password.ping().await;
}
