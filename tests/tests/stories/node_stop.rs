//! Processes that are stopped and replaced while boxes are paid: their boxes move to others, and every payment is heard once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tests::node_process::NodeProcess;
use tests::outage_fleet::boxes::Fleet;
use tests::outage_fleet::payments::Payments;
use tests::outage_fleet::tally::Tally;
use tests::prelude::*;
use tests::provision::Provisioned;
use tokio::time::Instant;

const BOXES: usize = 6;
const PAYMENTS_PER_S: u32 = 10;
const BACK_WITHIN: Duration = Duration::from_secs(60);

async fn world() -> (World, Shop) {
    let world = World::with(|config| {
        config.node.lease_s = 3;
        config.http.rate_per_address_per_s = 0;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    (world, shop)
}

/// Boxes that know these addresses and begin at the first.
async fn boxes(world: &World, shop: &Shop, to: &[SocketAddr]) -> Vec<Provisioned> {
    let (admin, root_pem) = (world.admin(), world.app().root_pem());
    let outlet = shop.outlet_id.to_string();
    let mut boxes = Vec::new();
    for number in 0..BOXES {
        // A multiple of the number of addresses begins at the first.
        let number = number * to.len();
        let made = Provisioned::at(root_pem, to.to_vec(), &admin, number, Some(&outlet)).await;
        boxes.push(made.unwrap());
    }
    boxes
}

/// Boxes under payments.
struct UnderPayments {
    fleet: Fleet,
    payments: Payments,
    tally: Arc<Tally>,
}

impl UnderPayments {
    async fn begin(boxes: Vec<Provisioned>, acquirers: Vec<Acquirer>) -> Self {
        let (tally, every) = (Arc::new(Tally::default()), Duration::from_secs(30));
        let fleet = Fleet::switch_on(boxes, every, Duration::ZERO, &tally)
            .await
            .unwrap();
        let payments = Payments::start(acquirers, fleet.boxes.clone(), PAYMENTS_PER_S, &tally);
        let begun = Self {
            fleet,
            payments,
            tally,
        };
        begun.hears_more().await;
        begun
    }

    /// Waits until some more payments are heard.
    async fn hears_more(&self) {
        let goal = self.tally.heard() + usize::try_from(PAYMENTS_PER_S).unwrap();
        eventually("payments are heard", || async {
            (self.tally.heard() >= goal).then_some(())
        })
        .await;
    }

    /// Stops a process; all boxes must be back elsewhere.
    async fn stop(&mut self, process: NodeProcess) {
        let status = process.stop().await.unwrap();
        assert!(status.success(), "{status}");
        let all: Vec<usize> = (0..BOXES).collect();
        let returns = self.fleet.back(&all, Instant::now() + BACK_WITHIN).await;
        assert_eq!(returns.count(), u64::try_from(BOXES).unwrap());
        self.hears_more().await;
    }

    /// Every payment was heard once.
    async fn end(self) {
        self.payments.stop().await.unwrap();
        self.tally.wait_until_heard().await;
        assert_eq!(self.tally.problems(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_node_that_stops_under_payments_loses_none_and_its_boxes_move() {
    let (world, shop) = world().await;
    let process = world.node_parts("node-b", 3).start().await.unwrap();
    let made = boxes(&world, &shop, &[process.mqtt, world.mqtt()]).await;
    let acquirers = vec![world.acquirer(), world.acquirer().at(&process.url())];
    let mut under_payments = UnderPayments::begin(made, acquirers).await;
    let there = "sessions WHERE connected AND node = 'node-b'";
    assert_eq!(world.rows(there).await, i64::try_from(BOXES).unwrap());

    under_payments.stop(process).await;

    let stopped = "nodes WHERE name = 'node-b' AND end_reason = 'stopped'";
    assert_eq!(world.rows(stopped).await, 1);
    let moved = "device_events WHERE kind = 'offline' AND details ->> 'reason' = 'server_moved'";
    assert_eq!(world.rows(moved).await, i64::try_from(BOXES).unwrap());
    under_payments.end().await;
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn two_nodes_are_replaced_one_by_one_under_payments() {
    let (world, shop) = world().await;
    let (a, b) = (world.node_parts("node-a", 3), world.node_parts("node-b", 3));
    let first = a.start().await.unwrap();
    let second = b.start().await.unwrap();
    let made = boxes(&world, &shop, &[first.mqtt, second.mqtt]).await;
    let acquirer = world.acquirer();
    let acquirers = vec![acquirer.at(&first.url()), acquirer.at(&second.url())];
    let mut under_payments = UnderPayments::begin(made, acquirers).await;

    let (new_a, new_b) = (a.in_place_of(&first), b.in_place_of(&second));
    under_payments.stop(first).await;
    let first = new_a.start().await.unwrap();
    under_payments.stop(second).await;
    let second = new_b.start().await.unwrap();
    under_payments.hears_more().await;

    under_payments.end().await;
    ledger::must_balance(&world.pool).await;
    drop((first, second));
}
