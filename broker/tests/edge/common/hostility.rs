//! Hostile and broken clients: each acts once, and the edge must disconnect or limit it.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{EndReason, Limits};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wire::Channel;

use super::client::{
    Client, WILL_QOS_1, connect, connect_raw, connect_v5, packet, puback, publish, publish_raw,
    publish_v5, subscribe, v5,
};
use super::{World, device, topic, within};

/// Connections that stay open until this is dropped.
pub(crate) type OpenConnections = Vec<Box<dyn Any + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hostility {
    SilentTcp,
    HalfHandshakes,
    OddClientIds,
    OversizedPackets,
    EmptyTopics,
    WrongUtf8,
    PubacksOutOfOrder,
    NeverReading,
    ByteByByte,
    Reconnecting,
    LargeWills,
    ThousandFilters,
    ServerOnlyPackets,
    PublishFlood,
    PingFlood,
    HandshakeStorm,
    SharedAndSystemTopics,
}

/// The number of the next hostile client: neighbours have low ones.
static NEXT: AtomicU64 = AtomicU64::new(1_000_000);

fn number() -> u128 {
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

/// A session of version 5.
async fn connected_v5(world: &World, number: u128) -> Client {
    let mut client = world.dial(number).await;
    let id = device(number).to_string();
    client.send(&connect_v5(&id, true, &[])).await;
    let connack = client.next().await.unwrap();
    assert_eq!((connack.first, connack.body[1]), (0x20, 0));
    client
}

/// Version 3.1.1 is closed without a packet, and version 5 with a reason code.
async fn ends_both(world: &World, bytes: [&[u8]; 2], reason: EndReason, code: u8) {
    let number = number();
    let mut client = world.connected_box(number).await;
    let _ = client.try_send(bytes[0]).await;
    client.expect_closed().await;
    world.host.expect_end(device(number), reason).await;
    let mut client = connected_v5(world, number).await;
    let _ = client.try_send(bytes[1]).await;
    client.expect(0xe0, &[code]).await;
    client.expect_closed().await;
}

impl Hostility {
    pub(crate) const ALL: [Self; 17] = [
        Self::SilentTcp,
        Self::HalfHandshakes,
        Self::OddClientIds,
        Self::OversizedPackets,
        Self::EmptyTopics,
        Self::WrongUtf8,
        Self::PubacksOutOfOrder,
        Self::NeverReading,
        Self::ByteByByte,
        Self::Reconnecting,
        Self::LargeWills,
        Self::ThousandFilters,
        Self::ServerOnlyPackets,
        Self::PublishFlood,
        Self::PingFlood,
        Self::HandshakeStorm,
        Self::SharedAndSystemTopics,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SilentTcp => "1,000 silent TCP connections",
            Self::HalfHandshakes => "200 half handshakes and half CONNECTs",
            Self::OddClientIds => "CONNECTs with odd client ids",
            Self::OversizedPackets => "packets over the limit",
            Self::EmptyTopics => "empty topics and filters",
            Self::WrongUtf8 => "topics that are not UTF-8",
            Self::PubacksOutOfOrder => "PUBACKs out of order and of unsent packets",
            Self::NeverReading => "a box that never reads",
            Self::ByteByByte => "a box that reads byte by byte",
            Self::Reconnecting => "a box that reconnects 100 times a second",
            Self::LargeWills => "wills of 5 KB and 200 KB",
            Self::ThousandFilters => "SUBSCRIBE with 1,000 filters",
            Self::ServerOnlyPackets => "packets that only servers send",
            Self::PublishFlood => "a flood of heartbeats",
            Self::PingFlood => "a flood of PINGREQs",
            Self::HandshakeStorm => "100 handshakes at once",
            Self::SharedAndSystemTopics => "$share, $SYS and wildcards",
        }
    }

    /// Changes limits so that the attacks are short.
    pub(crate) fn shorten(limits: &mut Limits) {
        limits.write_ms_max = 500;
    }

    /// Acts once, and checks the edge's reaction.
    pub(crate) async fn act(self, world: &World) -> OpenConnections {
        match self {
            Self::SilentTcp => return silent(world, 1_000).await,
            Self::HalfHandshakes => return half_handshakes(world, 200).await,
            Self::OddClientIds => odd_client_ids(world).await,
            Self::OversizedPackets => {
                // Only the header of 200 KB: the limit is applied to the header alone.
                let bytes = [0x30, 0xc0, 0x9a, 0x0c];
                ends_both(world, [&bytes; 2], EndReason::PacketTooLarge, 0x95).await;
            }
            Self::EmptyTopics => {
                let bytes = [&publish(2, "", 1, b"x")[..], &publish_v5(2, "", 1, b"x")];
                ends_both(world, bytes, EndReason::NotAuthorized, 0x82).await;
                let mut client = connected_v5(world, number()).await;
                client.send(&v5(&subscribe(1, &[("", 1)]))).await;
                client.expect(0x90, &[0, 1, 0, 0x87]).await;
            }
            Self::WrongUtf8 => {
                let v311 = publish_raw(0, &[0xff, 0xfe], 0, None, b"x");
                let of_v5 = publish_raw(0, &[0xff, 0xfe], 0, Some(&[]), b"x");
                ends_both(world, [&v311, &of_v5], EndReason::ProtocolError, 0x81).await;
            }
            Self::PubacksOutOfOrder => pubacks_out_of_order(world).await,
            Self::NeverReading => return never_reading(world).await,
            Self::ByteByByte => byte_by_byte(world).await,
            Self::Reconnecting => reconnecting(world).await,
            Self::LargeWills => large_wills(world).await,
            Self::ThousandFilters => thousand_filters(world).await,
            Self::ServerOnlyPackets => server_only_packets(world).await,
            Self::PublishFlood => publish_flood(world).await,
            Self::PingFlood => {
                let mut client = world.connected_box(number()).await;
                // The burst, and then at the packet rate.
                for _ in 0..10 {
                    client.send(&[0xc0, 0].repeat(400)).await;
                    for _ in 0..400 {
                        client.expect(0xd0, &[]).await;
                    }
                }
            }
            Self::HandshakeStorm => {
                let storm: Vec<_> = (0..100).map(|_| reconnect(world, number())).collect();
                for one in storm {
                    within("a connection", one).await.unwrap();
                }
            }
            Self::SharedAndSystemTopics => shared_and_system_topics(world).await,
        }
        OpenConnections::new()
    }
}

async fn silent(world: &World, count: usize) -> OpenConnections {
    let mut open = OpenConnections::new();
    for _ in 0..count {
        let connecting = TcpStream::connect(world.edge.local_addr());
        open.push(Box::new(within("TCP", connecting).await.unwrap()));
    }
    open
}

async fn half_handshakes(world: &World, count: usize) -> OpenConnections {
    let mut open = OpenConnections::new();
    for _ in 0..count {
        let connecting = TcpStream::connect(world.edge.local_addr());
        let mut stream = within("TCP", connecting).await.unwrap();
        // The beginning of a ClientHello, and nothing more.
        stream.write_all(&[0x16, 3, 1, 0x02, 0, 1]).await.unwrap();
        open.push(Box::new(stream));
    }
    for _ in 0..10 {
        let number = number();
        let mut client = world.dial(number).await;
        let hello = connect(&device(number).to_string(), true, 60, None);
        client.send(&hello[..9]).await;
        open.push(Box::new(client));
    }
    open
}

/// A box of a fleet that reconnects at once.
fn reconnect(world: &World, number: u128) -> JoinHandle<()> {
    let (address, credentials) = (world.edge.local_addr(), world.device(number));
    tokio::spawn(async move {
        let mut client = Client::dial(address, &credentials).await.unwrap();
        client.connect(device(number), true).await;
        client.drop_connection();
    })
}

async fn odd_client_ids(world: &World) {
    let (number, other) = (number(), device(1).to_string());
    for id in [
        "+",
        "#",
        "$share/g/x",
        "$SYS",
        "a/b",
        "devices/+/downlink/#",
        &other,
        &"x".repeat(60_000),
    ] {
        let mut client = world.dial(number).await;
        client.send(&connect(id, true, 60, None)).await;
        client.expect(0x20, &[0, 5]).await;
        client.expect_closed().await;
    }
    let mut client = world.dial(number).await;
    let not_utf8 = connect_raw(4, &[0xff, 0xfe], true, 60, None, None);
    client.send(&not_utf8).await;
    client.expect_closed().await;
}

async fn pubacks_out_of_order(world: &World) {
    let number = number();
    let mut client = world.listening_box(number).await;
    let mut ids = Vec::new();
    for event in 1..=3 {
        world.publish(number, u128::MAX - event);
        ids.push(client.receive().await.id.unwrap());
    }
    // In reverse, one twice, and two that were never sent.
    ids.reverse();
    for id in ids.iter().chain(&ids[..1]).chain(&[500, u16::MAX]) {
        client.send(&puback(*id)).await;
    }
    // The next message is delivered as usual.
    world.publish(number, u128::MAX - 4);
    client.receive_and_acknowledge().await;
    client.ping().await;
    client.send(&puback(0)).await;
    client.expect_closed().await;
}

/// The edge then stops reading from it, so its own writes block.
async fn never_reading(world: &World) -> OpenConnections {
    let mut client = world.connected_box(number()).await;
    let pings = [0xc0, 0].repeat(4_000);
    within("a client whose writes block", async {
        let second = Duration::from_secs(1);
        while let Ok(sent) = tokio::time::timeout(second, client.try_send(&pings)).await {
            sent.unwrap();
        }
    })
    .await;
    vec![Box::new(client)]
}

/// As slow as possible without being disconnected. Its queue fills, and further messages are dropped.
async fn byte_by_byte(world: &World) {
    let number = number();
    let mut client = world.listening_box(number).await;
    for event in 1..=300 {
        world.publish(number, u128::MAX - event);
    }
    for _ in 0..20 {
        client.read_a_byte().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reconnecting(world: &World) {
    let number = number();
    for _ in 0..50 {
        world.connected_box(number).await.drop_connection();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn large_wills(world: &World) {
    let number = number();
    let (id, status) = (device(number).to_string(), topic(number, Channel::Status));
    let (some, much) = (vec![b'x'; 5_000], vec![b'x'; 60_000]);
    for will in [&some, &much] {
        let will = Some((status.as_str(), &will[..], WILL_QOS_1));
        let mut client = world.dial(number).await;
        client.send(&connect(&id, true, 60, will)).await;
        client.expect(0x20, &[0, 5]).await;
        let mut client = world.dial(number).await;
        let hello = connect_raw(5, id.as_bytes(), true, 60, Some(&[]), will);
        client.send(&hello).await;
        client.expect(0x20, &[0, 0x95, 0]).await;
    }
    // 200 KB of CONNECT are refused from its header.
    let mut client = world.dial(number).await;
    let mut hello = connect(&id, true, 60, None);
    hello.splice(1..2, [0xc0, 0x9a, 0x0c]);
    client.send(&hello).await;
    client.expect_closed().await;
}

async fn thousand_filters(world: &World) {
    let mut client = world.connected_box(number()).await;
    let filters: Vec<String> = (0..1_000).map(|n| format!("a/{n}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|f| (f.as_str(), 1)).collect();
    for _ in 0..10 {
        client.send(&subscribe(1, &filters)).await;
        let suback = client.next().await.unwrap();
        assert_eq!(suback.body.len(), 2 + 1_000);
        assert!(suback.body[2..].iter().all(|code| *code == 0x80));
    }
}

async fn server_only_packets(world: &World) {
    for bytes in [
        packet(0x20, &[0, 0]),
        packet(0x50, &[0, 1]),
        packet(0x62, &[0, 1]),
        packet(0x70, &[0, 1]),
        packet(0x90, &[0, 1, 0]),
        packet(0xb0, &[0, 1]),
        packet(0xd0, &[]),
        packet(0xf0, &[]),
    ] {
        ends_both(world, [&bytes; 2], EndReason::ProtocolError, 0x82).await;
    }
}

/// Quality 0 at the highest rate, and then more of quality 1 than may be unacknowledged.
async fn publish_flood(world: &World) {
    world.host.ignores_uplinks.store(true, Ordering::Relaxed);
    let number = number();
    let heartbeat = topic(number, Channel::Heartbeat);
    let mut client = world.connected_box(number).await;
    let burst = publish(0, &heartbeat, 0, b"heartbeat").repeat(500);
    for _ in 0..8 {
        client.send(&burst).await;
    }
    // The burst is used up, so these are delayed, and over the limit the box is disconnected.
    let mut burst = Vec::new();
    for id in 1..=1_000 {
        burst.extend(publish(2, &heartbeat, id, b"heartbeat"));
    }
    let _ = client.try_send(&burst).await;
    world
        .host
        .expect_end(device(number), EndReason::TooManyUnacknowledged)
        .await;
}

async fn shared_and_system_topics(world: &World) {
    let number = number();
    let mut client = connected_v5(world, number).await;
    let own = format!("devices/{}/downlink/#", device(number));
    let shared = format!("$share/g/{own}");
    let filters = [shared.as_str(), "$SYS/#", "#", "devices/+/downlink/#"];
    for filter in filters {
        client.send(&v5(&subscribe(1, &[(filter, 1)]))).await;
        client.expect(0x90, &[0, 1, 0, 0x87]).await;
        client.send(&publish_v5(2, filter, 2, b"x")).await;
        client.expect(0x40, &[0, 2, 0x87]).await;
    }
    client.ping().await;
}
