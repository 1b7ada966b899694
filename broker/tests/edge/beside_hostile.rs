//! A hundred well-behaved boxes beside each kind of hostile client: they receive everything, in order and once.
//!
//! Only delivery is tested here. `cargo run --release --example hostile_neighbours` measures how long it takes.

use std::time::Duration;

use crate::common::World;
use crate::common::hostility::Hostility;
use crate::common::neighbours::Neighbours;

const BOXES: u128 = 100;
const SPACING: Duration = Duration::from_millis(1);

async fn neighbours_receive_beside(hostility: Hostility) {
    let world = World::with(Hostility::shorten).await;
    let mut neighbours = Neighbours::gather(&world, BOXES).await;
    let delivery = neighbours.deliver_all(&world, 5 * BOXES, SPACING);
    let (open, _) = futures_util::future::join(hostility.act(&world), delivery).await;
    neighbours.deliver_all(&world, BOXES, SPACING).await;
    // A new box is admitted and served too.
    let another = BOXES + 1;
    let mut client = world.listening_box(another).await;
    world.publish(another, 1);
    assert_eq!(client.receive_and_acknowledge().await, "1");
    drop(open);
}

macro_rules! beside {
    ($($name:ident: $hostility:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            neighbours_receive_beside(Hostility::$hostility).await;
        }
    )*};
}

beside! {
    silent_tcp_connections: SilentTcp,
    half_handshakes: HalfHandshakes,
    odd_client_ids: OddClientIds,
    oversized_packets: OversizedPackets,
    empty_topics: EmptyTopics,
    wrong_utf8: WrongUtf8,
    pubacks_out_of_order: PubacksOutOfOrder,
    a_box_that_never_reads: NeverReading,
    a_box_that_reads_byte_by_byte: ByteByByte,
    a_box_that_reconnects_again_and_again: Reconnecting,
    large_wills: LargeWills,
    a_thousand_filters: ThousandFilters,
    packets_that_only_servers_send: ServerOnlyPackets,
    a_flood_of_publishes: PublishFlood,
    a_flood_of_pings: PingFlood,
    a_storm_of_handshakes: HandshakeStorm,
    shared_and_system_topics: SharedAndSystemTopics,
}

#[test]
fn every_hostility_has_a_test() {
    let this_file = include_str!("beside_hostile.rs");
    for hostility in Hostility::ALL {
        let entry = format!(": {hostility:?},");
        assert!(this_file.contains(&entry), "{}", hostility.name());
    }
}
