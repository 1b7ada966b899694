//! When the database is slow or a whole fleet wants something at once, payments go first.

use serde_json::json;
use sqlx::PgConnection;
use tests::soundbox::dial;
use tests::{Credentials, Shop, Soundbox, World, books, eventually};
use wire::Channel;

/// More than the platform under test has connections to its database.
const CROWD: usize = 12;
/// Who waits for a lock in this database.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// A transaction that holds a lock until it is rolled back.
async fn hold(world: &World, lock: &'static str) -> impl AsMut<PgConnection> {
    let mut holder = world.pool.acquire().await.unwrap();
    sqlx::query("BEGIN").execute(&mut *holder).await.unwrap();
    sqlx::query(lock).execute(&mut *holder).await.unwrap();
    holder
}

async fn release(mut holder: impl AsMut<PgConnection>) {
    sqlx::query("ROLLBACK")
        .execute(holder.as_mut())
        .await
        .unwrap();
}

async fn so_many_wait(world: &World, count: i64) {
    eventually("so many wait for the lock", || async {
        (books::count(&world.pool, WAITING).await >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payment_is_heard_and_acknowledged_while_heartbeats_wait_for_the_database() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let mut beating = Soundbox::switch_on(&world, Credentials::unbound(&world).await).await;
    // Rows can be read, and none inserted.
    let holder = hold(&world, "LOCK TABLE heartbeats IN SHARE MODE").await;
    let beat = json!({
        "message_type": "heartbeat",
        "device_id": beating.credentials.device_id,
        "firmware_version": "2",
        "state": "idle",
    });
    let waiting = tokio::spawn(async move {
        let payload = beat.to_string().into_bytes();
        beating.say_raw(Channel::Heartbeat, payload).await
    });
    so_many_wait(&world, 1).await;

    let sold = soundbox.credentials.sell(&world, 10_000).await;
    // Returns when the acknowledgement that it was played is durable.
    assert_eq!(soundbox.play().await.transaction_id, sold);

    assert!(!waiting.is_finished(), "the beat was stored meanwhile");
    release(holder).await;
    assert!(waiting.await.unwrap(), "and is acknowledged in the end");
}

#[tokio::test]
async fn a_payment_is_heard_while_a_fleet_waits_to_be_let_in() {
    let world = World::new().await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let credentials = Credentials::unbound(&world).await;
        dial(&world, &credentials, false)
            .await
            .unwrap()
            .leave()
            .await;
        crowd.push(credentials);
    }
    let connected = "SELECT count(*) FROM sessions WHERE connected";
    eventually("all are away", || async {
        (books::count(&world.pool, connected).await == 0).then_some(())
    })
    .await;
    let holder = hold(&world, "SELECT 1 FROM sessions FOR UPDATE").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let coming = async {
        let dials = crowd
            .iter()
            .map(|credentials| dial(&world, credentials, false));
        futures_util::future::join_all(dials).await
    };
    let paying = async {
        // As many as may: a quarter of its eight connections.
        so_many_wait(&world, 2).await;
        let sold = soundbox.credentials.sell(&world, 10_000).await;
        assert_eq!(soundbox.play().await.transaction_id, sold);
        release(holder).await;
    };
    let (lines, ()) = tokio::join!(coming, paying);
    for line in lines {
        line.unwrap().leave().await;
    }
}
