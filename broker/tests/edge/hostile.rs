//! Hostile and broken clients. Each is disconnected or limited, and none affects other clients.

use std::net::SocketAddr;
use std::time::Duration;

use broker::EndReason;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::{Channel, Topic};

use crate::common::client::{Client, connect, packet, publish, publish_raw, subscribe};
use crate::common::{World, device, within};

async fn tcp(address: SocketAddr) -> TcpStream {
    within("a TCP connection", TcpStream::connect(address))
        .await
        .unwrap()
}

/// The server closes it, with or without a reset.
async fn expect_closed(stream: &mut TcpStream) {
    let mut buffer = [0; 64];
    within("the end of the connection", async {
        while let Ok(1..) = stream.read(&mut buffer).await {}
    })
    .await;
}

#[tokio::test]
async fn silent_and_incomplete_connections_do_not_block_others() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = tcp(world.edge.local_addr()).await;
        if number % 2 == 0 {
            // The beginning of a ClientHello, and nothing more.
            stream.write_all(&[0x16, 3, 1, 0x02, 0, 1]).await.unwrap();
        }
        silent.push(stream);
    }
    // This one completes TLS and then sends half a CONNECT.
    let mut half = world.dial(1).await;
    half.send(&connect(&device(1).to_string(), true, 60, None)[..9])
        .await;
    let mut client = world.listening_box(2).await;
    world.publish(2, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
}

#[tokio::test]
async fn a_client_that_authenticates_too_slowly_is_disconnected() {
    let world = World::with(|limits| {
        limits.handshake_ms_max = 100;
        limits.connect_ms_max = 100;
    })
    .await;
    expect_closed(&mut tcp(world.edge.local_addr()).await).await;
    world.dial(1).await.expect_closed().await;
    let mut half = world.dial(1).await;
    half.send(&connect(&device(1).to_string(), true, 60, None)[..9])
        .await;
    half.expect_closed().await;
    assert!(world.host.calls().is_empty());
}

#[tokio::test]
async fn the_cap_on_unauthenticated_connections_refuses_and_recovers() {
    let world = World::with(|limits| limits.unauthenticated_max = 3).await;
    // An admitted box does not count.
    let mut admitted = world.connected_box(1).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(world.dial(2).await);
    }
    expect_closed(&mut tcp(world.edge.local_addr()).await).await;
    admitted.ping().await;
    drop(waiting);
    within("a connection below the cap", async {
        while Client::dial(world.edge.local_addr(), &world.device(3))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_cap_on_all_connections_holds() {
    let world = World::with(|limits| limits.connections_max = 2).await;
    let mut one = world.connected_box(1).await;
    let mut two = world.connected_box(2).await;
    expect_closed(&mut tcp(world.edge.local_addr()).await).await;
    one.ping().await;
    two.ping().await;
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused() {
    let world = World::with(|limits| limits.accepts_per_address_per_s = 1).await;
    let mut one = world.connected_box(1).await;
    expect_closed(&mut tcp(world.edge.local_addr()).await).await;
    one.ping().await;
}

#[tokio::test]
async fn a_first_packet_that_is_no_connect_closes_the_connection() {
    let world = World::new().await;
    for bytes in [
        vec![0xc0, 0],
        publish(0, "devices/x", 0, b"x"),
        subscribe(1, &[("#", 1)]),
        vec![0xe0, 0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        packet(0x10, b"\x00\x04HTTP\x04\x02\x00\x3c\x00\x01a"),
        packet(0x10, b"\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"),
        packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe"),
        packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\xff\xffaaa"),
    ] {
        let mut client = world.dial(1).await;
        client.send(&bytes).await;
        client.expect_closed().await;
    }
    assert!(world.host.calls().is_empty());
}

#[tokio::test]
async fn packets_that_only_servers_send_and_other_invalid_packets_end_the_session() {
    let world = World::new().await;
    let own = Topic::new(device(1), Channel::Heartbeat).to_string();
    let connect = connect(&device(1).to_string(), true, 60, None);
    let nonsense = [
        packet(0x20, &[0, 0]),
        packet(0x50, &[0, 1]),
        packet(0x62, &[0, 1]),
        packet(0x70, &[0, 1]),
        packet(0x90, &[0, 1, 0]),
        packet(0xb0, &[0, 1]),
        packet(0xd0, &[]),
        packet(0xf0, &[]),
        packet(0x00, &[]),
        // Wrong flags, an impossible length, identifier 0, a topic that is not UTF-8, an empty SUBSCRIBE.
        packet(0xc1, &[]),
        packet(0xc0, &[1]),
        packet(0x36, &[0, 1, b'a', 0, 1]),
        vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        publish(2, &own, 0, b"x"),
        publish_raw(0, &[0xff, 0xfe], 0, None, b"x"),
        packet(0x30, &[0, 200, b'a']),
        packet(0x82, &[0, 1]),
        packet(0x82, &[0, 1, 0, 1, b'a', 3]),
        packet(0xa2, &[0, 1]),
        packet(0x40, &[0, 0]),
        packet(0x40, &[0, 1, 0]),
        packet(0xe0, &[0]),
        connect,
    ];
    let count = nonsense.len();
    for bytes in nonsense {
        let mut client = world.connected_box(1).await;
        client.send(&bytes).await;
        assert_eq!(client.next().await, None, "{bytes:?}");
    }
    for (_, reason) in world.host.ends(device(1), count).await {
        assert_eq!(reason, EndReason::ProtocolError);
    }
    world.connected_box(1).await.ping().await;
}

#[tokio::test]
async fn a_packet_over_the_limit_ends_the_session_before_it_has_arrived() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    // Only the header of 200 KB: the limit is applied to the header alone.
    client.send(&[0x30, 0xc0, 0x9a, 0x0c]).await;
    client.expect_closed().await;
    world
        .host
        .expect_end(device(1), EndReason::PacketTooLarge)
        .await;

    let mut will = world.dial(1).await;
    let mut bytes = connect(&device(1).to_string(), true, 60, None);
    bytes.splice(1..2, [0xc0, 0x9a, 0x0c]);
    will.send(&bytes).await;
    will.expect_closed().await;
}

#[tokio::test]
async fn a_subscribe_with_a_thousand_filters_is_answered_one_by_one() {
    let world = World::new().await;
    let mut client = world.connected_box(1).await;
    let filters: Vec<String> = (0..1_000).map(|n| format!("a/{n}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|f| (f.as_str(), 1)).collect();
    client.send(&subscribe(1, &filters)).await;
    let suback = client.next().await.unwrap();
    assert_eq!(suback.body.len(), 2 + 1_000);
    assert!(suback.body[2..].iter().all(|code| *code == 0x80));
}

#[tokio::test]
async fn a_box_that_sends_but_never_reads_is_disconnected() {
    let world = World::with(|limits| {
        limits.write_ms_max = 200;
        limits.output_bytes_max = 8 * 1024;
        // So that its unread output becomes more than the system's socket buffers hold.
        limits.packets_per_s_max = 1_000_000;
    })
    .await;
    let mut client = world.connected_box(1).await;
    let mut other = world.listening_box(2).await;
    let pings = [0xc0, 0].repeat(4_000);
    // Until the server closes the connection, which fails the write here.
    within("the end of the session", async {
        while client.try_send(&pings).await.is_ok() {}
    })
    .await;
    world
        .host
        .expect_end(device(1), EndReason::WriteStalled)
        .await;
    world.publish(2, 1);
    assert_eq!(other.receive_and_acknowledge().await, "1");
}

#[tokio::test]
async fn a_box_that_sends_bytes_without_completing_a_packet_is_disconnected_by_its_keep_alive() {
    let world = World::new().await;
    let mut client = world.dial(1).await;
    client
        .send(&connect(&device(1).to_string(), true, 1, None))
        .await;
    client.expect(0x20, &[0, 0]).await;
    let publish = publish(
        0,
        &Topic::new(device(1), Channel::Heartbeat).to_string(),
        0,
        &[b'x'; 2_000],
    );
    within("the end of the session", async {
        for byte in &publish {
            if client.try_send(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the whole packet was taken");
    })
    .await;
    world
        .host
        .expect_end(device(1), EndReason::KeepAliveTimeout)
        .await;
}

#[test]
fn random_bytes_never_harm_the_edge() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let credentials = world.device(1);
    let own = Topic::new(device(1), Channel::Heartbeat).to_string();
    let strategy = (
        any::<bool>(),
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            (
                prop::sample::select(vec![0x10_u8, 0x30, 0x32, 0x82, 0xa2, 0xe0]),
                prop::collection::vec(any::<u8>(), 0..100)
            )
                .prop_map(|(first, body)| packet(first, &body)),
            (0_usize..60).prop_map(move |cut| {
                let mut whole = publish(2, &own, 1, b"x");
                whole.truncate(cut);
                whole
            }),
        ],
    );
    proptest!(ProptestConfig::with_cases(100), |((connected, bytes) in strategy)| {
        runtime.block_on(async {
            let mut client = within("a handshake", Client::dial(world.edge.local_addr(), &credentials)).await.unwrap();
            if connected {
                client.connect(device(1), true).await;
            }
            let _ = client.try_send(&bytes).await;
            client.finish().await;
        });
    });
    runtime.block_on(async {
        let mut client = world.listening_box(2).await;
        world.publish(2, 1);
        assert_eq!(client.receive_and_acknowledge().await, "1");
    });
}
