//! Which clients are admitted, and how sessions end.

use broker::{EndReason, Limits, ProtocolVersion, SessionKey};
use tokio_util::sync::CancellationToken;
use wire::{Channel, Topic};

use crate::common::client::{
    Client, WILL_QOS_1, connect, connect_raw, publish, subscribe, unsubscribe,
};
use crate::common::fleet::{Credentials, Fleet};
use crate::common::host::HostCall;
use crate::common::{World, device, start, within};

const ACCEPTED: [u8; 2] = [0, 0];
const VERSION: [u8; 2] = [0, 1];
const CLIENT_ID: [u8; 2] = [0, 2];
const UNAVAILABLE: [u8; 2] = [0, 3];
const NOT_AUTHORIZED: [u8; 2] = [0, 5];

#[tokio::test]
async fn a_box_connects_with_the_certificate_of_its_own_name() {
    let world = World::new().await;
    let credentials = world.device(1);
    let mut client = Client::dial(world.edge.local_addr(), &credentials)
        .await
        .unwrap();
    assert!(!client.connect(device(1), true).await);
    let connecting = world.host.connecting.lock().unwrap()[0].clone();
    assert_eq!(connecting.device_id, device(1));
    assert_eq!(connecting.certificate_serial, credentials.serial);
    assert_eq!(connecting.protocol, ProtocolVersion::V311);
    assert!(connecting.clean_session);
    assert_eq!(connecting.session_expiry_s, 0);
    client.ping().await;
    assert!(world.edge.is_live(device(1)));
    assert_eq!(world.edge.live(), 1);
}

#[tokio::test]
async fn a_client_id_that_is_not_the_certificates_name_is_refused() {
    let world = World::new().await;
    let (own, other) = (device(1).to_string(), device(2).to_string());
    let odd = [
        other.as_str(),
        "+",
        "#",
        "$share/g/x",
        "devices/+/downlink/#",
        "a\0b",
        &own.to_uppercase(),
        &format!("{own} "),
        &"x".repeat(60_000),
    ];
    for client_id in odd {
        let mut client = world.dial(1).await;
        client.send(&connect(client_id, true, 60, None)).await;
        client.expect(0x20, &NOT_AUTHORIZED).await;
        client.expect_closed().await;
    }
    let mut client = world.dial(1).await;
    client.send(&connect("", true, 60, None)).await;
    client.expect(0x20, &CLIENT_ID).await;
    client.expect_closed().await;
    assert!(world.host.calls().is_empty(), "the host was not called");
    // The listener still accepts.
    world.connected_box(1).await.ping().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_of_this_fleet_is_refused() {
    let world = World::new().await;
    let other = Fleet::new();
    for credentials in [
        world.fleet.without_certificate(),
        world.fleet.issued_by(&other, device(1)),
    ] {
        // In TLS 1.3 the client's handshake completes first, so it may see the refusal only when it reads.
        if let Ok(mut client) = Client::dial(world.edge.local_addr(), &credentials).await {
            client.expect_closed().await;
        }
    }
    assert!(world.host.calls().is_empty());
}

#[tokio::test]
async fn a_box_that_the_host_refuses_is_refused() {
    let world = World::new().await;
    world.host.refused.lock().unwrap().insert(device(1));
    let mut client = world.connecting_box(1).await;
    client.expect(0x20, &NOT_AUTHORIZED).await;
    client.expect_closed().await;
    assert!(!world.edge.is_live(device(1)));
}

#[tokio::test]
async fn another_version_of_mqtt_is_refused_with_its_code() {
    let world = World::new().await;
    for level in [3, 6, 131] {
        let mut client = world.dial(1).await;
        let id = device(1).to_string();
        client
            .send(&connect_raw(level, id.as_bytes(), true, 60, None, None))
            .await;
        client.expect(0x20, &VERSION).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn a_will_may_only_go_to_the_boxs_own_status() {
    let world = World::new().await;
    let id = device(1).to_string();
    let own = Topic::new(device(1), Channel::Status).to_string();
    let refused = [
        (
            Topic::new(device(2), Channel::Status).to_string(),
            WILL_QOS_1,
        ),
        (
            Topic::new(device(1), Channel::Heartbeat).to_string(),
            WILL_QOS_1,
        ),
        (
            Topic::new(device(1), Channel::PaymentSuccess).to_string(),
            WILL_QOS_1,
        ),
        ("devices/+/uplink/status".to_owned(), WILL_QOS_1),
        ("$SYS/x".to_owned(), WILL_QOS_1),
        (String::new(), WILL_QOS_1),
    ];
    for (topic, flags) in refused {
        let mut client = world.dial(1).await;
        let will = Some((topic.as_str(), &b"offline"[..], flags));
        client.send(&connect(&id, true, 60, will)).await;
        client.expect(0x20, &NOT_AUTHORIZED).await;
    }
    let mut client = world.dial(1).await;
    let will = Some((own.as_str(), &b"offline"[..], WILL_QOS_1));
    client.send(&connect(&id, true, 60, will)).await;
    client.expect(0x20, &ACCEPTED).await;
}

#[tokio::test]
async fn unsupported_flags_of_old_clients_are_ignored_in_3_1_1() {
    const RETAIN: u8 = 0x20;
    let world = World::new().await;
    let id = device(1).to_string();
    let own = Topic::new(device(1), Channel::Status).to_string();
    // A retained will at each quality, with and without clean session.
    for (number, quality) in (0_u8..3).enumerate() {
        for clean in [true, false] {
            let mut client = world.dial(1).await;
            let flags = 0x04 | quality << 3 | RETAIN;
            let will = Some((own.as_str(), &b"offline"[..], flags));
            client.send(&connect(&id, clean, 60, will)).await;
            let connack = client.next().await.expect("CONNACK");
            assert_eq!((connack.first, connack.body[1]), (0x20, 0), "{flags:#x}");
            client.drop_connection();
            let ends = world
                .host
                .ends(device(1), number * 2 + 1 + usize::from(!clean))
                .await;
            assert_eq!(ends.last().unwrap().1, EndReason::ConnectionLost);
            let (_, will, _) = world.host.ended(device(1)).await;
            assert_eq!(will.unwrap(), &b"offline"[..]);
        }
    }
    // A user name and a password that is not text.
    let mut bytes = connect(&id, true, 60, None);
    let flags_at = bytes.windows(4).position(|at| at == b"MQTT").unwrap() + 5;
    bytes[flags_at] |= 0xc0;
    bytes.extend(b"\x00\x03box\x00\x02\xff\xfe");
    bytes[1] += 9;
    let mut client = world.dial(1).await;
    client.send(&bytes).await;
    client.expect(0x20, &ACCEPTED).await;
}

#[tokio::test]
async fn the_will_of_a_lost_box_reaches_the_host_and_disconnect_discards_it() {
    let world = World::new().await;
    let topic = |number| Topic::new(device(number), Channel::Status).to_string();
    for number in [1, 2] {
        let mut client = world.dial(number).await;
        let will_topic = topic(number);
        let will = Some((will_topic.as_str(), &b"offline"[..], WILL_QOS_1));
        client
            .send(&connect(&device(number).to_string(), true, 60, will))
            .await;
        client.expect(0x20, &ACCEPTED).await;
        if number == 2 {
            client.send(&[0xe0, 0]).await;
            client.expect_closed().await;
        } else {
            client.drop_connection();
        }
    }
    let (reason, will, clean) = world.host.ended(device(1)).await;
    assert_eq!(reason, EndReason::ConnectionLost);
    assert_eq!(will.unwrap(), &b"offline"[..]);
    assert!(clean);
    let (reason, will, _) = world.host.ended(device(2)).await;
    assert_eq!((reason, will), (EndReason::Disconnected, None));
}

#[tokio::test]
async fn a_revoked_box_is_ended_while_it_is_live() {
    let world = World::new().await;
    let mut revoked = world.listening_box(1).await;
    let mut other = world.listening_box(2).await;
    world.edge.kick(device(1), EndReason::Revoked);
    revoked.expect_closed().await;
    world.host.expect_end(device(1), EndReason::Revoked).await;
    other.ping().await;
}

#[tokio::test]
async fn a_box_that_is_revoked_while_it_is_being_admitted_is_refused() {
    let world = World::new().await;
    world.host.admitting.close();
    let mut client = world.connecting_box(1).await;
    world.host.called(HostCall::Admitting(device(1))).await;
    world.edge.kick(device(1), EndReason::Revoked);
    // It is refused at once, before the host has decided.
    client.expect(0x20, &NOT_AUTHORIZED).await;
    client.expect_closed().await;
    // The host, which admits it, is notified of its end.
    world.host.admitting.open();
    assert_eq!(
        world.host.ends(device(1), 1).await,
        [(1, EndReason::Revoked)]
    );
    assert!(!world.edge.is_live(device(1)));
}

#[tokio::test]
async fn when_a_box_connects_again_its_older_session_is_over_before_the_newer_is_admitted() {
    let world = World::new().await;
    let mut older = world.connected_box(1).await;
    world.host.ending.close();
    let mut newer = world.connecting_box(1).await;
    older.expect_closed().await;
    let admissions = |call: Vec<HostCall>| {
        call.into_iter()
            .filter(|one| matches!(one, HostCall::Admitting(_)))
            .count()
    };
    assert_eq!(
        admissions(world.host.calls()),
        1,
        "the older is still ending"
    );
    world.host.ending.open();
    newer.expect(0x20, &ACCEPTED).await;
    assert_eq!(
        world.host.ends(device(1), 1).await,
        [(1, EndReason::TakenOver)]
    );
    assert_eq!(world.edge.live(), 1);
    newer.ping().await;
}

/// Connects box 1 again, whose first connection stays.
async fn expect_refused(world: &World, with: &Credentials, code: &[u8; 2], live: &mut Client) {
    let mut newer = world.dial_with(with).await;
    newer.send_connect(device(1)).await;
    newer.expect(0x20, code).await;
    newer.expect_closed().await;
    live.ping().await;
}

#[tokio::test]
async fn a_connection_that_the_host_does_not_let_connect_leaves_the_older_one_alone() {
    let world = World::with(|limits| limits.admit_ms_max = 100).await;
    let (revoked, good) = (world.device(1), world.device(1));
    world.host.refuse_certificate(&revoked.serial);
    let mut live = world.connected_box(1).await;
    let checks = |calls: Vec<HostCall>| {
        calls
            .into_iter()
            .filter(|one| *one == HostCall::Checking(device(1)))
            .count()
    };
    assert_eq!(checks(world.host.calls()), 0, "there was no older one");
    for _ in 0..3 {
        expect_refused(&world, &revoked, &NOT_AUTHORIZED, &mut live).await;
    }
    // The platform cannot decide, or not in time.
    *world.host.unavailable.lock().unwrap() = true;
    expect_refused(&world, &good, &UNAVAILABLE, &mut live).await;
    *world.host.unavailable.lock().unwrap() = false;
    world.host.checking.close();
    expect_refused(&world, &good, &UNAVAILABLE, &mut live).await;
    world.host.checking.open();
    assert_eq!(checks(world.host.calls()), 5);

    let mut newer = world.connected_box(1).await;
    live.expect_closed().await;
    newer.ping().await;
    assert_eq!(
        world.host.ends(device(1), 1).await,
        [(1, EndReason::TakenOver)]
    );
}

#[tokio::test]
async fn a_box_that_is_revoked_while_its_takeover_is_checked_is_refused() {
    let world = World::new().await;
    let mut live = world.connected_box(1).await;
    world.host.checking.close();
    let leaked = world.device(1);
    let mut newer = world.dial_with(&leaked).await;
    newer.send_connect(device(1)).await;
    world.host.called(HostCall::Checking(device(1))).await;
    world.edge.kick_certificates(device(1), &[leaked.serial]);
    newer.expect(0x20, &NOT_AUTHORIZED).await;
    world.host.checking.open();
    live.ping().await;
}

#[tokio::test]
async fn of_many_connections_of_one_box_the_last_one_stays() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.connecting_box(1).await);
    }
    let mut last = clients.pop().unwrap();
    last.expect(0x20, &ACCEPTED).await;
    last.ping().await;
    for mut earlier in clients {
        // It was admitted and taken over, or refused while it waited.
        while let Some(packet) = earlier.next().await {
            assert_eq!(packet.first, 0x20);
            assert!([0, 3].contains(&packet.body[1]), "{packet:?}");
        }
    }
    assert_eq!(world.edge.live(), 1);
}

#[tokio::test]
async fn a_box_that_is_silent_for_one_and_a_half_keep_alives_is_lost() {
    let world = World::new().await;
    let mut client = world.dial(1).await;
    client
        .send(&connect(&device(1).to_string(), true, 1, None))
        .await;
    client.expect(0x20, &ACCEPTED).await;
    client.expect_closed().await;
    world
        .host
        .expect_end(device(1), EndReason::KeepAliveTimeout)
        .await;
}

#[tokio::test]
async fn a_kept_session_is_present_again_with_its_subscriptions() {
    let world = World::new().await;
    let topic = Topic::new(device(1), Channel::PaymentSuccess).to_string();
    let mut client = world.dial(1).await;
    assert!(!client.connect(device(1), false).await);
    client
        .send(&subscribe(7, &[(&topic, 2), ("devices/+/downlink/#", 1)]))
        .await;
    client.expect(0x90, &[0, 7, 1, 0x80]).await;
    client.drop_connection();
    let (_, _, clean) = world.host.ended(device(1)).await;
    assert!(!clean);

    let mut client = world.dial(1).await;
    assert!(client.connect(device(1), false).await, "session present");
    let second = SessionKey {
        device_id: device(1),
        epoch: 2,
    };
    world
        .host
        .wait_for_call("that it is listening again", |call| {
            (*call == HostCall::Listening(second)).then_some(())
        })
        .await;
    world.publish(1, 5);
    assert_eq!(client.receive_and_acknowledge().await, "5");
    client.send(&unsubscribe(8, &[&topic])).await;
    client.expect(0xb0, &[0, 8]).await;
    client.drop_connection();
    world.host.ends(device(1), 2).await;

    let mut client = world.dial(1).await;
    assert!(
        !client.connect(device(1), true).await,
        "never with a clean session"
    );
    client.drop_connection();
    world.host.ends(device(1), 3).await;
    let mut client = world.dial(1).await;
    assert!(
        !client.connect(device(1), false).await,
        "the clean session has deleted it"
    );
}

#[tokio::test]
async fn a_kept_session_survives_the_process() {
    let world = World::new().await;
    let mut client = world.persistent_box(1).await;
    world.stop.cancel();
    within("the stop", world.edge.stopped()).await;
    client.expect_closed().await;

    let stop = CancellationToken::new();
    let host = world.host.clone();
    let edge = start(&world.fleet, host, Limits::default(), stop).await;
    let mut client = Client::dial(edge.local_addr(), &world.device(1))
        .await
        .unwrap();
    assert!(client.connect(device(1), false).await);
    edge.publish(crate::common::payment(1, 9));
    assert_eq!(client.receive_and_acknowledge().await, "9");
}

#[tokio::test]
async fn suback_waits_for_the_host_while_pings_are_answered() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    world.host.subscribing.close();
    let all = format!("devices/{}/downlink/#", device(1));
    client.send(&subscribe(1, &[(&all, 1)])).await;
    client.send(&unsubscribe(2, &[&all])).await;
    client.ping().await;
    client.ping().await;
    world.host.subscribing.open();
    client.expect(0x90, &[0, 1, 1]).await;
    client.expect(0xb0, &[0, 2]).await;
}

#[tokio::test]
async fn at_the_stop_every_session_is_ended_and_no_client_is_admitted() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for number in 1..=5 {
        clients.push(world.connected_box(number).await);
    }
    // One more whose admission is running, and one that has not sent CONNECT.
    world.host.admitting.close();
    let mut admitting = world.connecting_box(6).await;
    world.host.called(HostCall::Admitting(device(6))).await;
    let mut silent = world.dial(7).await;
    world.stop.cancel();
    for client in &mut clients {
        client.expect_closed().await;
    }
    admitting.expect(0x20, &UNAVAILABLE).await;
    silent.expect_closed().await;
    world.host.admitting.open();
    within("the stop", world.edge.stopped()).await;
    for number in 1..=6 {
        assert_eq!(
            world.host.ends(device(number), 1).await,
            [(1, EndReason::ShuttingDown)]
        );
    }
    assert_eq!(world.edge.live(), 0);
    assert!(
        Client::dial(world.edge.local_addr(), &world.device(8))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn packets_that_a_box_sends_before_its_connack_are_not_lost() {
    let world = World::new().await;
    let mut client = world.dial(1).await;
    let mut bytes = connect(&device(1).to_string(), true, 60, None);
    let topic = Topic::new(device(1), Channel::Status).to_string();
    bytes.extend(publish(2, &topic, 7, b"online"));
    bytes.extend([0xc0, 0]);
    client.send(&bytes).await;
    client.expect(0x20, &ACCEPTED).await;
    let answers = [client.next().await.unwrap(), client.next().await.unwrap()];
    assert!(answers.iter().any(|packet| packet.first == 0x40));
    assert!(answers.iter().any(|packet| packet.first == 0xd0));
}
