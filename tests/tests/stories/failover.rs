//! The primary dies, and its replica goes on in its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use device_sim::report::Event;
use device_sim::session::Options;
use futures_util::{StreamExt as _, stream};
use tests::forwarder::Forwarder;
use tests::postgres_server::{Disk, PostgresServer, url_at};
use tests::prelude::*;
use tests::repeat::until_answered;
use tests::simulator::{self, Running};
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::TransactionId;

/// How many customers pay, so many at a time; the primary dies when a third of them is answered.
const PAYMENTS: usize = 60;
const AT_A_TIME: usize = 6;

/// Reads what the box speaks until it has spoken so many different payments: how often it spoke each.
async fn spoken(soundbox: &mut Running, payments: usize) -> BTreeMap<TransactionId, u32> {
    let mut heard = BTreeMap::new();
    while heard.len() < payments {
        let id = soundbox
            .until(|event| match event {
                Event::Spoken { transaction_id, .. } => Some(*transaction_id),
                _ => None,
            })
            .await;
        *heard.entry(id).or_default() += 1;
    }
    heard
}

/// A primary behind an address that can lead elsewhere, and a platform that is connected to it there.
async fn behind_virtual_address(dir: &Path) -> (PostgresServer, Forwarder, World) {
    let primary = PostgresServer::create(dir, Disk::ThrownAway, &[])
        .await
        .unwrap();
    let virtual_address = Forwarder::start(primary.address).await.unwrap();
    let world = World::with(|config| {
        config.database.url = url_at(virtual_address.address);
        config.node.lease_s = 6;
    })
    .await;
    (primary, virtual_address, world)
}

#[tokio::test]
async fn a_primary_that_dies_under_payments_loses_nothing_when_its_synchronous_replica_is_promoted()
{
    let dir = tempfile::tempdir().unwrap();
    let (mut primary, virtual_address, world) = behind_virtual_address(dir.path()).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let boxes = tempfile::tempdir().unwrap();
    simulator::provision(&world, boxes.path(), shop.terminal().id).await;
    let mut soundbox = simulator::switch_on(boxes.path(), Options::default());
    soundbox
        .until(|event| matches!(event, Event::Configured { .. }).then_some(()))
        .await;
    let replica = primary.replica(dir.path(), &[]).await.unwrap();
    primary.make_synchronous().await.unwrap();

    let (answered, mut answers) = mpsc::unbounded_channel();
    let paying = stream::iter(0..PAYMENTS)
        .map(|_| {
            let (acquirer, answered) = (world.acquirer(), answered.clone());
            let body = shop.printed_payment(&world, 25_000).to_string();
            let request = acquirer.sign(body.as_bytes(), world.clock.now());
            async move {
                let answer = until_answered(|| acquirer.try_post(&request), || {}).await;
                answered.send(()).unwrap();
                answer.unwrap().data()
            }
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<Value>>();
    let failing_over = async {
        for _ in 0..PAYMENTS / 3 {
            answers.recv().await.unwrap();
        }
        let began = Instant::now();
        primary.kill().await.unwrap();
        replica.promote().await.unwrap();
        virtual_address.lead_to(replica.address);
        while answers.try_recv().is_ok() {}
        answers.recv().await.unwrap();
        println!("dead → a payment is answered: {:.1?}", began.elapsed());
    };
    let (verdicts, ()) = tokio::join!(paying, failing_over);

    let good = |one: &&Value| ["accepted", "duplicate"].contains(&one["verdict"].as_str().unwrap());
    assert_eq!(
        verdicts.iter().filter(good).count(),
        PAYMENTS,
        "{verdicts:?}"
    );
    let all = i64::try_from(PAYMENTS).unwrap();
    assert_eq!(world.rows("payments").await, all);
    let heard = spoken(&mut soundbox, PAYMENTS).await;
    world
        .wait_for_rows("notifications WHERE status = 'played'", all)
        .await;
    ledger::must_balance(&world.pool).await;

    // The database has another timeline: the box connects again, under an epoch that nobody had.
    let again = "sessions WHERE connected AND epoch > 1000000000";
    world.wait_for_rows(again, 1).await;
    let rest = soundbox.switch_off().await;
    let twice = rest
        .iter()
        .any(|event| matches!(event, Event::Spoken { .. }));
    assert!(
        !twice && heard.values().all(|times| *times == 1),
        "{heard:?}"
    );
}

#[tokio::test]
async fn boxes_whose_sessions_an_asynchronous_replica_did_not_have_connect_again_and_hear_payments()
{
    let dir = tempfile::tempdir().unwrap();
    let (mut primary, virtual_address, world) = behind_virtual_address(dir.path()).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
    let mut replica = primary.replica(dir.path(), &[]).await.unwrap();
    let has_session = "SELECT count(*) = 1 FROM sessions WHERE epoch = 1";
    let moment = Duration::from_secs(20);
    replica.wait_for(has_session, moment).await.unwrap();

    // What is committed from here on is nowhere else when the primary dies.
    replica.stop().await.unwrap();
    let away = soundbox.switch_off().await;
    let soundbox = away.reconnect(&world).await;
    assert_eq!(
        world.rows("sessions WHERE connected AND epoch = 2").await,
        1
    );
    primary.kill().await.unwrap();
    replica.start().await.unwrap();
    replica.promote().await.unwrap();
    virtual_address.lead_to(replica.address);

    // Its connection has an epoch that the database would give again.
    soundbox.ended().await;
    // A box that comes before the process has another lease is asked to come again.
    let node = world.app().context().node();
    eventually("another lease", || async {
        (node.incarnation() > 1_000_000_000).then_some(())
    })
    .await;
    let mut soundbox = Soundbox::switch_on(&world, credentials.clone()).await;
    let current = "sessions WHERE connected AND epoch > 1000000000";
    world.wait_for_rows(current, 1).await;
    let body = shop.printed_payment(&world, 50_000);
    assert_eq!(world.acquirer().verdict(&body).await, "accepted");
    assert_eq!(soundbox.play().await.amount.to_i64(), 50_000);
}
